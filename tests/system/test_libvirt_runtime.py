"""What libvirt VMs alone promise: they are domains that every tool of libvirt sees, and no trace stays."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from guest_images import lend, usable
from guests import Guest, circuit, make_vm, running, until

from qvirt.errors import Conflict, NotFound, VMFailed
from qvirt.model.order import MachineSize, OrderKind
from qvirt.model.vm import VM, ImageForm, VMState
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.libvirt.connection import connect, default_uri
from qvirt.runtimes.libvirt.domain import find, name_of
from qvirt.runtimes.libvirt.runtime import LibvirtRuntime
from qvirt.runtimes.process import ProcessRuntime
from qvirt.runtimes.qemu.records import Records

pytestmark = pytest.mark.machines

MEMORY = 640 << 20


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return lend(ImageForm.QEMU, tmp_path_factory.mktemp("libvirt") / "home")


@pytest.fixture(scope="module")
def runtime(paths: Paths) -> LibvirtRuntime:
    return usable(LibvirtRuntime(paths))


def libvirt_vm(**spec: Any) -> VM:
    return make_vm("libvirt", owner=None, **{"memory": MEMORY} | spec)


@pytest.fixture(scope="module")
def guest(runtime: LibvirtRuntime) -> Iterator[Guest]:
    """To be left running, but by the last test: a boot takes its time."""
    with running(runtime, libvirt_vm()) as found:
        yield found


def until_the_clock_is_right(guest: Guest) -> None:
    """By the header of the guest's web server, which looks at the clock once a second."""

    def is_right() -> bool:
        told = parsedate_to_datetime(guest.http.get("/health").headers["date"])
        return abs(told.timestamp() - time.time()) < 2

    until(is_right, patience=3)


def test_it_is_a_domain_that_counts_as_a_process_vm_does(
    guest: Guest, runtime: LibvirtRuntime, tmp_path: Path
) -> None:
    source = circuit(3, "h q; cx q[0],q[1]; t q[2]; h q[2];")
    with running(ProcessRuntime(Paths(tmp_path)), make_vm()) as process:
        results = [
            each.ask(OrderKind.RUN, source, engine="aer", seed=7, shots=500).result
            for each in (guest, process)
        ]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0].counts == results[1].counts
    domain = find(connect(default_uri()), guest.handle.vm)
    assert domain is not None
    assert (domain.name(), domain.isActive()) == (name_of(guest.handle.vm), 1)
    assert guest.handle.vm in runtime.leftovers()


def test_what_holds_is_told(guest: Guest, runtime: LibvirtRuntime) -> None:
    found = runtime.inspect(guest.handle)
    limits = " ".join(found.limits)
    assert found.pid is not None
    for word in ("memory: 640 MiB", "cpus: 1", "no way out", "filtered", "accelerator", "libvirt: qemu"):
        assert word in limits


def test_a_guest_that_runs_out_of_memory_says_so_and_the_host_is_unharmed(
    guest: Guest, runtime: LibvirtRuntime
) -> None:
    status = guest.overtax(27)
    assert status.error is not None
    assert status.error.code in ("does_not_fit", "out_of_memory"), status.error
    assert runtime.stats(guest.handle).memory < MEMORY + (600 << 20)
    guest.http.put("/v1/machine", content=to_json(MachineSize(MEMORY, 1)))
    assert guest.works()


def test_another_state_directory_is_left_alone(guest: Guest, tmp_path: Path) -> None:
    other = LibvirtRuntime(lend(ImageForm.QEMU, tmp_path / "other"))
    assert other.leftovers() == {}


def test_pausing_stops_time_and_resuming_sets_the_clock(guest: Guest, runtime: LibvirtRuntime) -> None:
    runtime.pause(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.PAUSED
    time.sleep(3)
    runtime.resume(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    until_the_clock_is_right(guest)


def test_a_snapshot_brings_memory_back(guest: Guest, runtime: LibvirtRuntime) -> None:
    kept = guest.submit(circuit(), engine="stim")
    guest.answer(kept)
    runtime.snapshot(guest.handle, "one")
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    assert runtime.snapshots(guest.handle) == ["one"]
    lost = guest.submit(circuit(), engine="stim")
    guest.answer(lost)
    runtime.restore(guest.handle, "one")
    again = Guest(runtime, guest.handle)
    with again.http:
        assert again.http.get(f"/v1/jobs/{kept}").status_code == 200
        assert again.http.get(f"/v1/jobs/{lost}").status_code == 404
        until_the_clock_is_right(again)
    runtime.remove_snapshot(guest.handle, "one")
    with pytest.raises(NotFound):
        runtime.restore(guest.handle, "one")


def test_what_is_done_behind_our_back_is_told_and_mended(runtime: LibvirtRuntime, paths: Paths) -> None:
    """Destroyed: told. Undefined: made again by ``start``. Without its folder: found and removed."""
    handle = runtime.create(libvirt_vm())
    try:
        runtime.start(handle)
        domain = find(connect(default_uri()), handle.vm)
        assert domain is not None
        domain.destroy()
        found = runtime.inspect(handle)
        assert (found.state, found.reason) == (VMState.FAILED, "its domain has ended")
        domain.undefine()
        assert runtime.inspect(handle).reason == "its domain is gone"
        runtime.start(handle)
        assert runtime.inspect(handle).state is VMState.RUNNING
        shutil.rmtree(paths.vm(handle.vm))
        runtime.destroy(runtime.leftovers()[handle.vm])
        assert find(connect(default_uri()), handle.vm) is None
        assert handle.vm not in runtime.leftovers()
    finally:
        runtime.destroy(handle)


def test_a_port_that_was_taken_is_exchanged(runtime: LibvirtRuntime, paths: Paths) -> None:
    vm = libvirt_vm()
    handle = runtime.create(vm)
    try:
        records = Records(paths, "libvirt", vm.id)
        before = records.port
        with socket.create_server(("127.0.0.1", before)):
            runtime.start(handle)
        assert records.port != before
        pid = runtime.inspect(handle).pid
        assert pid is not None
        listening = [each.laddr.port for each in psutil.Process(pid).net_connections() if each.laddr]
        assert listening == [records.port]
    finally:
        runtime.destroy(handle)


def test_an_image_that_is_gone_is_told(runtime: LibvirtRuntime, paths: Paths) -> None:
    vm = libvirt_vm()
    handle = runtime.create(vm)
    try:
        records = Records(paths, "libvirt", vm.id)
        records.change(replace(records.machine, disk="/nowhere/disk"))
        with pytest.raises(VMFailed, match="/nowhere/disk"):
            runtime.start(handle)
        assert runtime.inspect(handle).state is VMState.STOPPED
    finally:
        runtime.destroy(handle)


def test_stop_presses_the_power_button_and_what_is_stopped_can_be_resized(
    guest: Guest, runtime: LibvirtRuntime, paths: Paths
) -> None:
    larger = replace(Records(paths, "libvirt", guest.handle.vm).machine.spec, memory=MEMORY + (64 << 20))
    with pytest.raises(Conflict):
        runtime.resize(guest.handle, larger)
    runtime.stop(guest.handle, timeout=30.0)
    assert "Power down" in runtime.logs(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.STOPPED
    runtime.resize(guest.handle, larger)
    domain = find(connect(default_uri()), guest.handle.vm)
    assert domain is not None
    assert domain.maxMemory() == (MEMORY >> 10) + (64 << 10)
