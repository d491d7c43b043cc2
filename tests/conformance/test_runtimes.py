"""What every runtime owes: see the docstring of qvirt/runtimes/contract.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from guests import Guest, lives, make_vm, rehearsal, running, until

from qvirt.errors import QvirtError
from qvirt.model.order import Capabilities
from qvirt.model.run import Method
from qvirt.model.vm import VM, Handle, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.contract import Inspection, Runtime
from qvirt.runtimes.registry import RUNTIMES, runtime

MEMORY = 700 << 20

ELSEWHERE = """
import sys
from pathlib import Path
from qvirt.model.vm import VM, Handle
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.registry import runtime

name, home, verb, given = sys.argv[1:]
found = runtime(name, Paths(Path(home)))
if verb == "own":
    handle = found.start(found.create(from_json(given.encode(), VM)))
    print(to_json(handle).decode(), flush=True)
    sys.stdin.read()
else:
    answer = getattr(found, verb)(from_json(given.encode(), Handle))
    print(to_json(answer).decode())
"""
"""Another qvirt process, which has nothing but the stored handle."""


@pytest.fixture(params=sorted(RUNTIMES))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """One runtime on a state directory of its own."""
    found = runtime(request.param, Paths(tmp_path / "home"))
    available = found.probe()
    if not available.available:
        pytest.skip(available.reason)
    return found


@pytest.fixture
def vm(machine: Runtime, tmp_path: Path) -> VM:
    return make_vm(machine.name, memory=MEMORY, environment=rehearsal(tmp_path))


@pytest.fixture
def guest(machine: Runtime, vm: VM) -> Iterator[Guest]:
    with running(machine, vm) as found:
        yield found


def _elsewhere(machine: Runtime, tmp_path: Path, verb: str, given: bytes) -> list[str]:
    return [sys.executable, "-c", ELSEWHERE, machine.name, str(tmp_path / "home"), verb, given.decode()]


def _named_after(vm_id: str) -> list[psutil.Process]:
    """Processes of this machine that carry the VM's id."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        own = process.pid == os.getpid() or process.info["status"] == psutil.STATUS_ZOMBIE
        if not own and any(vm_id in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


# Life


def test_it_says_what_it_will_use(machine: Runtime) -> None:
    assert machine.probe().reason


def test_create_makes_it_once_and_does_not_run_it(machine: Runtime, vm: VM) -> None:
    handle = machine.create(vm)
    try:
        assert (handle.runtime, handle.vm) == (machine.name, vm.id)
        assert from_json(to_json(handle), Handle) == handle
        token = machine.endpoint(handle).token
        assert machine.create(vm) == handle
        assert machine.endpoint(handle).token == token
        assert machine.inspect(handle).state is VMState.STOPPED
        assert machine.logs(handle) == ""
        assert machine.stats(handle).processes == 0
    finally:
        machine.destroy(handle)


def test_two_vms_have_two_tokens(machine: Runtime) -> None:
    handles = [machine.create(make_vm(machine.name)) for _ in range(2)]
    try:
        tokens = [machine.endpoint(handle).token for handle in handles]
        assert tokens[0] != tokens[1]
        assert min(map(len, tokens)) >= 32
    finally:
        for handle in handles:
            machine.destroy(handle)


def test_start_twice_starts_one_guest(guest: Guest, machine: Runtime) -> None:
    before = machine.inspect(guest.handle)
    assert before.state is VMState.RUNNING
    machine.start(guest.handle)
    assert machine.inspect(guest.handle).pid == before.pid
    assert guest.works()


def test_it_can_be_stopped_and_started_again(guest: Guest, machine: Runtime, vm: VM) -> None:
    machine.stop(guest.handle)
    machine.stop(guest.handle)
    assert machine.inspect(guest.handle) == Inspection(VMState.STOPPED)
    assert _named_after(vm.id) == []
    again = Guest(machine, machine.start(guest.handle))
    with again.http:
        until(again.healthy)
        assert again.works()


def test_destroy_leaves_nothing_and_may_be_called_again(machine: Runtime, vm: VM, tmp_path: Path) -> None:
    with running(machine, vm) as guest:
        handle = guest.handle
        workers = guest.workers
        guest.submit(method=Method.MPS)
    machine.destroy(handle)
    assert _named_after(vm.id) == []
    assert not any(map(lives, workers))
    assert list((tmp_path / "home" / "vms").iterdir()) == []
    with pytest.raises(QvirtError):
        machine.endpoint(handle)


def test_what_was_never_made_can_be_stopped_and_destroyed(machine: Runtime, vm: VM) -> None:
    handle = machine.create(vm)
    machine.destroy(handle)
    machine.stop(handle)
    machine.destroy(handle)
    assert machine.inspect(handle).state is VMState.STOPPED
    assert machine.logs(handle) == ""
    with pytest.raises(QvirtError):
        machine.start(handle)


def test_everything_carries_the_id_of_the_vm(guest: Guest, vm: VM) -> None:
    assert guest.pid in {process.pid for process in _named_after(vm.id)}


# Other processes


@pytest.mark.parametrize("verb", ["inspect", "endpoint", "stats", "logs"])
def test_the_stored_handle_is_enough(guest: Guest, machine: Runtime, tmp_path: Path, verb: str) -> None:
    command = _elsewhere(machine, tmp_path, verb, to_json(guest.handle))
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    here = getattr(machine, verb)(guest.handle)
    if verb == "stats":
        assert from_json(told, type(here)).processes == here.processes
    else:
        assert from_json(told, type(here)) == here


def test_another_process_can_destroy_it(machine: Runtime, vm: VM, tmp_path: Path) -> None:
    with running(machine, vm) as guest:
        workers = guest.workers
        subprocess.run(_elsewhere(machine, tmp_path, "destroy", to_json(guest.handle)), check=True)
        assert machine.inspect(guest.handle).state is not VMState.RUNNING
        until(lambda: not _named_after(vm.id))
        until(lambda: not any(map(lives, workers)))


def test_kill_9_of_the_owner_leaves_no_process(machine: Runtime, vm: VM, tmp_path: Path) -> None:
    command = _elsewhere(machine, tmp_path, "own", to_json(vm))
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert owner.stdout is not None
        handle = from_json(owner.stdout.readline(), Handle)
        guest = Guest(machine, handle)
        with guest.http:
            until(guest.healthy)
            guest.until_simulating(guest.submit(method=Method.MPS))
            workers = guest.workers
            assert workers
    finally:
        owner.kill()
        owner.communicate()
    until(lambda: not _named_after(vm.id))
    until(lambda: not any(map(lives, workers)))
    until(lambda: machine.inspect(handle).state is VMState.FAILED)
    machine.destroy(handle)
    assert list((tmp_path / "home" / "vms").iterdir()) == []


def test_a_guest_that_is_killed_is_told_as_failed_and_can_be_started_again(
    guest: Guest, machine: Runtime
) -> None:
    workers = guest.workers
    os.kill(guest.pid, signal.SIGKILL)
    until(lambda: machine.inspect(guest.handle).state is VMState.FAILED)
    assert machine.inspect(guest.handle).reason
    assert machine.stats(guest.handle).processes == 0
    until(lambda: not any(map(lives, workers)))
    again = Guest(machine, machine.start(guest.handle))
    with again.http:
        until(again.healthy)
        assert again.works()


# Limits


def test_the_memory_limit_is_seen_from_outside_and_from_inside(guest: Guest, machine: Runtime) -> None:
    assert any(limit.startswith("memory: 700 MiB") for limit in machine.inspect(guest.handle).limits)
    told = from_json(guest.http.get("/v1/capabilities").content, Capabilities)
    assert told.memory == MEMORY


def test_a_run_that_wants_more_than_the_vm_has_fails_inside(guest: Guest, machine: Runtime) -> None:
    status = guest.until_ended(guest.submit(method=Method.DENSITY_MATRIX))
    assert status.error is not None
    assert status.error.code == "out_of_memory"
    assert machine.inspect(guest.handle).state is VMState.RUNNING
    assert guest.works()


def test_stats_tell_what_it_uses(guest: Guest, machine: Runtime) -> None:
    assert guest.works()
    stats = machine.stats(guest.handle)
    assert 20 << 20 < stats.memory < MEMORY
    assert stats.cpu_seconds > 0
    assert stats.processes >= 2


def test_logs_tell_what_was_printed(guest: Guest, machine: Runtime) -> None:
    guest.answer(guest.submit(method=Method.EXTENDED_STABILIZER))
    until(lambda: "printed by native code" in machine.logs(guest.handle))
