"""What QEMU VMs alone promise, with real guests: copies of templates, their identities, no way out."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from guest_images import lend, usable
from guests import Guest, circuit, make_vm, running, until

from qvirt.errors import Conflict, NotFound, VMFailed
from qvirt.model.order import MachineSize, OrderKind
from qvirt.model.result import Result
from qvirt.model.run import Method
from qvirt.model.vm import VM, ImageForm, VMState
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.process import ProcessRuntime
from qvirt.runtimes.qemu.process import QemuProcess, find_by_name
from qvirt.runtimes.qemu.records import Records
from qvirt.runtimes.qemu.runtime import QemuRuntime
from qvirt.runtimes.qemu.warm import Templates

pytestmark = pytest.mark.machines

MEMORY = 640 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return lend(ImageForm.QEMU, tmp_path / "home")


@pytest.fixture
def runtime(paths: Paths) -> QemuRuntime:
    return usable(QemuRuntime(paths))


def qemu_vm(**spec: Any) -> VM:
    return make_vm("qemu", owner=None, **{"memory": MEMORY} | spec)


@pytest.fixture
def guest(runtime: QemuRuntime) -> Iterator[Guest]:
    with running(runtime, qemu_vm()) as found:
        yield found


def how(guest: Guest) -> str:
    """How the VM came to be."""
    limits = guest.runtime.inspect(guest.handle).limits
    return next(limit for limit in limits if limit.startswith("start: "))


def run(guest: Guest, **options: Any) -> Result:
    result = guest.ask(OrderKind.RUN, circuit(3, "h q; cx q[0],q[1]; t q[2]; h q[2];"), **options).result
    assert result is not None
    return result


def until_the_clock_is_right(guest: Guest) -> None:
    """By the header of the guest's web server, which looks at the clock once a second."""

    def is_right() -> bool:
        told = parsedate_to_datetime(guest.http.get("/health").headers["date"])
        return abs(told.timestamp() - time.time()) < 2

    until(is_right, patience=3)


# Booting and copying


def test_two_that_are_made_at_once_are_copies_of_one_template(runtime: QemuRuntime) -> None:
    vms = [qemu_vm(), qemu_vm()]
    handles = [runtime.create(vm) for vm in vms]
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(runtime.start, handles))
        told = [runtime.inspect(handle).limits[-1] for handle in handles]
        assert "copy of" in told[0]
        assert told[0] == told[1]
    finally:
        for handle in handles:
            runtime.destroy(handle)


def test_a_maker_of_templates_that_is_killed_leaves_what_can_be_removed(
    runtime: QemuRuntime, paths: Paths, tmp_path: Path
) -> None:
    paths.warm.unlink()
    vm = qemu_vm()
    program = (
        "import sys; from pathlib import Path; from qvirt.model.vm import VM; from qvirt.paths import Paths\n"
        "from qvirt.model.wire import from_json; from qvirt.runtimes.qemu.runtime import QemuRuntime\n"
        "made = QemuRuntime(Paths(Path(sys.argv[1])))\n"
        "made.start(made.create(from_json(sys.argv[2].encode(), VM)))"
    )
    maker = subprocess.Popen([sys.executable, "-c", program, str(paths.home), to_json(vm).decode()])
    try:
        until(lambda: list(paths.vms.glob("warm-*/guest.log")))
        assert list(runtime.leftovers()) == [vm.id]  # one in the making is left alone
    finally:
        maker.kill()
        maker.wait()
    until(lambda: not list(find_by_name(paths)))
    assert len(runtime.leftovers()) == 2
    for handle in runtime.leftovers().values():
        runtime.destroy(handle)
    assert list(paths.vms.iterdir()) == []


def test_a_vm_that_boots_and_one_that_is_a_copy_count_as_a_process_vm_does(
    runtime: QemuRuntime, tmp_path: Path
) -> None:
    counts = {}
    for name, engine, spec in (
        ("process", ProcessRuntime(Paths(tmp_path / "other")), {"memory": MEMORY}),
        ("booted", runtime, {"memory": MEMORY, "warm": False}),
        ("copy", runtime, {"memory": MEMORY}),
    ):
        with running(engine, make_vm(engine.name, **spec)) as guest:
            counts[name] = {
                each: run(guest, method=each, seed=7, shots=500).counts
                for each in (Method.STATEVECTOR, Method.MPS, Method.DECISION_DIAGRAM)
            }
            if engine is runtime:
                assert ("copy of" if name == "copy" else "booted (asked for)") in how(guest)
    assert counts["booted"] == counts["process"]
    assert counts["copy"] == counts["process"]


def test_copies_are_vms_of_their_own(runtime: QemuRuntime, paths: Paths) -> None:
    with running(runtime, qemu_vm()) as first, running(runtime, qemu_vm()) as second:
        assert how(first) == how(second)
        (template,) = paths.warm.glob(f"{how(first).split()[-1]}*/")
        before = (template / "memory").stat().st_mtime_ns
        tokens = [runtime.endpoint(guest.handle).token for guest in (first, second)]
        assert len(set(tokens)) == 2
        seeds = [run(guest).seed for guest in (first, second)]
        assert None not in seeds
        assert seeds[0] != seeds[1]
        for guest in (first, second):
            until_the_clock_is_right(guest)
        strangers = [tokens[1], "x", Templates(paths)._read(template.name).token]  # type: ignore[union-attr]
        for token in strangers:
            answer = first.http.get("/v1/capabilities", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401
        assert (template / "memory").stat().st_mtime_ns == before


def test_a_copy_answers_its_first_circuit_at_once(runtime: QemuRuntime) -> None:
    with running(runtime, qemu_vm()):
        pass
    began = time.monotonic()
    with running(runtime, qemu_vm()) as guest:
        assert run(guest, engine="aer").counts
        # Loading Aer alone takes ten times as long without KVM.
        assert time.monotonic() - began < 3


def test_a_template_that_is_damaged_is_no_harm(runtime: QemuRuntime, paths: Paths) -> None:
    with running(runtime, qemu_vm()) as guest:
        (shared,) = paths.warm.resolve().glob(f"{how(guest).split()[-1]}*/")
    paths.warm.unlink()
    damaged = paths.warm / shared.name
    damaged.mkdir(parents=True)
    for file in shared.iterdir():
        os.link(file, damaged / file.name)
    (damaged / "state").unlink()
    (damaged / "state").write_bytes(os.urandom(1000))
    vm = qemu_vm()
    handle = runtime.create(vm)
    try:
        runtime.start(handle)
        found = runtime.inspect(handle)
        assert found.state is VMState.RUNNING
        assert any("booted (the warm start failed" in limit for limit in found.limits)
    finally:
        runtime.destroy(handle)


# Faults


def test_a_qemu_that_is_killed_is_told_with_the_signal(guest: Guest, runtime: QemuRuntime) -> None:
    os.kill(guest.pid, signal.SIGKILL)
    until(lambda: runtime.inspect(guest.handle).state is VMState.FAILED)
    assert "SIGKILL" in (runtime.inspect(guest.handle).reason or "")
    again = Guest(runtime, runtime.start(guest.handle))
    with again.http:
        until(again.healthy)
        assert run(again).counts


def test_a_port_that_was_taken_is_exchanged(runtime: QemuRuntime, paths: Paths) -> None:
    vm = qemu_vm()
    handle = runtime.create(vm)
    try:
        before = Records(paths, "qemu", vm.id).port
        with socket.create_server(("127.0.0.1", before)):
            runtime.start(handle)
            assert Records(paths, "qemu", vm.id).port != before
            with httpx.Client(base_url=runtime.endpoint(handle).url or "") as http:
                assert http.get("/health").status_code == 200
    finally:
        runtime.destroy(handle)


@pytest.mark.parametrize("qubits", [25, 27])
def test_a_guest_that_runs_out_of_memory_says_so_and_the_host_is_unharmed(guest: Guest, qubits: int) -> None:
    status = guest.overtax(qubits)
    assert status.error is not None
    assert status.error.code in ("does_not_fit", "out_of_memory"), status.error
    assert psutil.Process(guest.pid).memory_info().rss < MEMORY + (600 << 20)
    guest.http.put("/v1/machine", content=to_json(MachineSize(MEMORY, 1)))
    assert run(guest, seed=1).counts


def test_an_image_that_is_gone_is_told(runtime: QemuRuntime, paths: Paths) -> None:
    vm = qemu_vm()
    handle = runtime.create(vm)
    try:
        records = Records(paths, "qemu", vm.id)
        records.change(replace(records.machine, disk="/nowhere/disk"))
        with pytest.raises(VMFailed, match="/nowhere/disk"):
            runtime.start(handle)
        assert runtime.inspect(handle).state is VMState.STOPPED
    finally:
        runtime.destroy(handle)


def test_a_kernel_that_is_none_is_told_with_qemu_s_words(
    runtime: QemuRuntime, paths: Paths, tmp_path: Path
) -> None:
    vm = qemu_vm(warm=False)
    handle = runtime.create(vm)
    try:
        (tmp_path / "kernel").write_bytes(b"no kernel")
        records = Records(paths, "qemu", vm.id)
        records.change(replace(records.machine, kernel=str(tmp_path / "kernel")))
        with pytest.raises(VMFailed, match="kernel"):
            runtime.start(handle)
    finally:
        runtime.destroy(handle)


def test_a_process_whose_folder_is_gone_is_found_and_ended(runtime: QemuRuntime, paths: Paths) -> None:
    vm = qemu_vm()
    handle = runtime.create(vm)
    try:
        runtime.start(handle)
        shutil.rmtree(paths.vm(vm.id))
        assert list(runtime.leftovers()) == [vm.id]
        runtime.destroy(runtime.leftovers()[vm.id])
        until(lambda: not list(find_by_name(paths)))
        assert runtime.leftovers() == {}
    finally:
        QemuProcess(paths, vm.id).end(0)
        runtime.destroy(handle)


# Life


def test_what_a_guest_must_know_when_it_boots_reaches_it(runtime: QemuRuntime) -> None:
    vm = qemu_vm(idle_stop=0.5, environment={"PYTHONWARNINGS": "nonsense"})
    handle = runtime.create(vm)
    try:
        runtime.start(handle)
        assert any("start: booted (its environment" in limit for limit in runtime.inspect(handle).limits)
        until(lambda: runtime.inspect(handle).state is VMState.STOPPED)
        assert runtime.inspect(handle).reason == "it had no work for 500 ms"
        assert "'nonsense'" in runtime.logs(handle)
    finally:
        runtime.destroy(handle)


def test_stop_presses_the_power_button(guest: Guest, runtime: QemuRuntime) -> None:
    runtime.stop(guest.handle, timeout=30.0)
    assert "Power down" in runtime.logs(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.STOPPED


def test_pausing_stops_time_and_resuming_sets_the_clock(guest: Guest, runtime: QemuRuntime) -> None:
    runtime.pause(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.PAUSED
    with pytest.raises(httpx.TimeoutException):
        guest.http.get("/health", timeout=0.5)
    before = runtime.stats(guest.handle).cpu_seconds
    time.sleep(3)
    assert runtime.stats(guest.handle).cpu_seconds - before < 0.5
    runtime.resume(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    until_the_clock_is_right(guest)


def test_a_snapshot_brings_memory_back(guest: Guest, runtime: QemuRuntime) -> None:
    kept = guest.submit(circuit(), engine="stim")
    guest.answer(kept)
    runtime.snapshot(guest.handle, "one")
    assert runtime.snapshots(guest.handle) == ["one"]
    lost = guest.submit(circuit(), engine="stim")
    guest.answer(lost)
    for stopped in (False, True):
        if stopped:
            runtime.stop(guest.handle, timeout=0)
        runtime.restore(guest.handle, "one")
        again = Guest(runtime, guest.handle)
        with again.http:
            assert again.http.get(f"/v1/jobs/{kept}").status_code == 200
            assert again.http.get(f"/v1/jobs/{lost}").status_code == 404
            until_the_clock_is_right(again)
            assert run(again, seed=1).counts
    runtime.remove_snapshot(guest.handle, "one")
    assert runtime.snapshots(guest.handle) == []
    with pytest.raises(NotFound):
        runtime.restore(guest.handle, "one")


def test_it_is_resized_while_it_is_stopped(guest: Guest, runtime: QemuRuntime) -> None:
    larger = qemu_vm(memory=MEMORY + (64 << 20), warm=False).spec
    with pytest.raises(Conflict):
        runtime.resize(guest.handle, larger)
    runtime.stop(guest.handle, timeout=0)
    runtime.resize(guest.handle, larger)
    runtime.start(guest.handle)
    assert any("704 MiB" in limit for limit in runtime.inspect(guest.handle).limits)


def test_the_console_can_be_read(guest: Guest, runtime: QemuRuntime) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(runtime.console(guest.handle)))
        line.settimeout(30)
        QemuProcess(runtime._paths, guest.handle.vm)._press_power_button()
        assert b"Power down" in b"".join(iter(lambda: line.recv(4096), b""))
