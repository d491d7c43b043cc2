"""What every runtime owes: see the docstring of qvirt/runtimes/contract.py.

Real engines, real guests. One guest serves all tests that leave it as it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import psutil
import pytest
from guest_images import each_of, equipped
from guests import Guest, circuit, make_vm, running, until

from qvirt.errors import QvirtError
from qvirt.methods.families import circuit as family
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import JobState
from qvirt.model.order import Capabilities
from qvirt.model.run import Method
from qvirt.model.vm import LAST_WORDS, VM, Handle, Power, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.contract import (
    Executing,
    HavingConsole,
    Inspection,
    KeepingWarm,
    Pausable,
    Resizable,
    Runtime,
    Snapshotting,
)
from qvirt.runtimes.registry import RUNTIMES, runtime
from qvirt.runtimes.service import Service

MEMORY = 640 << 20
PROTOCOLS = {
    Power.PAUSE: Pausable,
    Power.SNAPSHOT: Snapshotting,
    Power.RESIZE: Resizable,
    Power.EXEC: Executing,
    Power.CONSOLE: HavingConsole,
    Power.WARM: KeepingWarm,
}

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


@pytest.fixture(scope="module", params=each_of(sorted(RUNTIMES)))
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One runtime on a state directory of its own, which is empty again when all tests have run."""
    home = tmp_path_factory.mktemp(request.param) / "home"
    found = equipped(request.param, home)
    yield found
    assert dict(found.leftovers()) == {}
    assert not list(Paths(home).vms.glob("*"))


@pytest.fixture(scope="module")
def shared(machine: Runtime) -> Iterator[VM]:
    """The VM of all tests that take ``guest``: where nothing is copied a boot takes its time."""
    vm = make_vm(machine.name, memory=MEMORY)
    handle = machine.create(vm)
    yield vm
    machine.destroy(handle)


@pytest.fixture
def guest(machine: Runtime, shared: VM) -> Iterator[Guest]:
    """It runs and answers: one that the test before has ended is made and started again."""
    found = Guest(machine, machine.start(machine.create(shared)))
    with found.http:
        until(found.healthy)
        yield found


@pytest.fixture
def vm(machine: Runtime) -> VM:
    return make_vm(machine.name, memory=MEMORY)


def _elsewhere(machine: Runtime, verb: str, given: bytes) -> list[str]:
    home = machine._paths.home  # type: ignore[attr-defined]
    return [sys.executable, "-c", ELSEWHERE, machine.name, str(home), verb, given.decode()]


def _works_again(machine: Runtime, handle: Handle) -> bool:
    again = Guest(machine, handle)
    with again.http:
        until(again.healthy)
        return again.works()


def _busy(guest: Guest) -> str:
    """A job that takes minutes, once it runs: of a short circuit where even reading one takes its time."""
    depth = 4000 if guest.runtime.capabilities().slowdown < 2 else 400
    long = CircuitSource("long.qasm", family("random", 18, seed=1, depth=depth).encode())
    job = guest.submit(long, engine="aer", method=Method.STATEVECTOR)
    until(lambda: guest.status(job, 0.1).state is JobState.RUNNING)
    return job


# Before it runs


def test_it_says_what_it_will_use(machine: Runtime) -> None:
    assert machine.probe().reason


def test_its_powers_are_those_that_it_names_and_the_others_have_a_reason(machine: Runtime) -> None:
    told = machine.capabilities()
    assert set(told.lacking) == set(Power) - told.powers
    assert all(told.lacking.values())
    for power, protocol in PROTOCOLS.items():
        assert isinstance(machine, protocol) == (power in told.powers)
    assert told.slowdown >= 1


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
        assert vm.id in machine.leftovers()
    finally:
        machine.destroy(handle)
    assert vm.id not in machine.leftovers()


def test_two_vms_have_two_tokens(machine: Runtime) -> None:
    handles = [machine.create(make_vm(machine.name, memory=MEMORY)) for _ in range(2)]
    try:
        tokens = [machine.endpoint(handle).token for handle in handles]
        assert tokens[0] != tokens[1]
        assert min(map(len, tokens)) >= 32
    finally:
        for handle in handles:
            machine.destroy(handle)


def test_what_was_never_made_can_be_stopped_and_destroyed(machine: Runtime, vm: VM) -> None:
    handle = machine.create(vm)
    machine.destroy(handle)
    machine.stop(handle)
    machine.destroy(handle)
    assert machine.inspect(handle).state is not VMState.RUNNING
    assert machine.logs(handle) == ""
    with pytest.raises(QvirtError):
        machine.start(handle)
    with pytest.raises(QvirtError):
        machine.endpoint(handle)


# While it runs


def test_it_runs_and_everything_it_made_carries_its_id(guest: Guest, machine: Runtime) -> None:
    assert guest.works()
    found = machine.inspect(guest.handle)
    assert (found.state, found.reason) == (VMState.RUNNING, None)
    assert found.pid is not None
    assert psutil.pid_exists(found.pid)
    assert machine.leftovers()[guest.handle.vm].vm == guest.handle.vm


@pytest.fixture(scope="module")
def counts_of_a_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    process = runtime("process", Paths(tmp_path_factory.mktemp("process") / "home"))
    with running(process, make_vm("process", memory=MEMORY)) as guest:
        return _counts(guest)


def _counts(guest: Guest) -> dict[str, int]:
    source = circuit(3, "h q[0]; cx q[0],q[1]; ry(0.7) q[2]; cz q[1],q[2]; h q[1];")
    job = guest.submit(source, engine="aer", method=Method.STATEVECTOR, seed=11, shots=2000)
    result = guest.answer(job).result
    assert result is not None
    return dict(result.counts)


def test_counts_are_those_of_a_process_vm(guest: Guest, counts_of_a_process: dict[str, int]) -> None:
    """The same seed and method give the same counts everywhere."""
    assert len(counts_of_a_process) == 8
    assert _counts(guest) == counts_of_a_process


def test_start_twice_starts_one_guest(guest: Guest, machine: Runtime) -> None:
    before = machine.inspect(guest.handle)
    machine.start(guest.handle)
    assert machine.inspect(guest.handle).pid == before.pid
    assert guest.works()


def test_a_wrong_token_is_refused(guest: Guest, machine: Runtime) -> None:
    endpoint = machine.endpoint(guest.handle)
    transport = httpx.HTTPTransport(uds=endpoint.socket)
    with httpx.Client(transport=transport, base_url=endpoint.url or "http://guest") as stranger:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {endpoint.token}x"},
        ):
            answer = stranger.get("/v1/capabilities", headers=headers)
            assert answer.status_code == 401


@pytest.mark.parametrize("verb", ["inspect", "endpoint", "stats", "logs"])
def test_the_stored_handle_is_enough(guest: Guest, machine: Runtime, verb: str) -> None:
    command = _elsewhere(machine, verb, to_json(guest.handle))
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    here = getattr(machine, verb)(guest.handle)
    if verb == "stats":
        assert from_json(told, type(here)).processes == here.processes
    else:
        assert from_json(told, type(here)) == here


def test_the_memory_limit_is_seen_from_outside_and_from_inside(guest: Guest, machine: Runtime) -> None:
    assert any(limit.startswith("memory: 640 MiB") for limit in machine.inspect(guest.handle).limits)
    told = from_json(guest.http.get("/v1/capabilities").content, Capabilities)
    assert 0.8 * MEMORY < told.memory <= MEMORY
    assert told.cpus == 1


def test_a_circuit_that_does_not_fit_is_refused_and_the_vm_goes_on(guest: Guest) -> None:
    wide = CircuitSource("wide.qasm", family("random", 27, seed=1, depth=4).encode())
    status = guest.until_ended(guest.submit(wide, engine="aer", method=Method.STATEVECTOR))
    assert status.error is not None
    assert status.error.code == "does_not_fit"
    assert guest.works()


def test_a_circuit_is_stopped_within_a_second(guest: Guest, machine: Runtime) -> None:
    job = _busy(guest)
    began = time.monotonic()
    assert guest.cancel(job).state is JobState.CANCELLED
    slowdown = machine.capabilities().slowdown
    assert time.monotonic() - began < (1.0 if slowdown < 2 else 5.0)
    assert guest.works()


def test_stats_tell_what_it_uses(guest: Guest, machine: Runtime) -> None:
    stats = machine.stats(guest.handle)
    assert 20 << 20 < stats.memory < 2 * MEMORY
    assert stats.cpu_seconds > 0
    assert stats.processes >= 1


# What some can do


def test_a_paused_one_stands_still_and_goes_on(guest: Guest, machine: Runtime) -> None:
    if not isinstance(machine, Pausable):
        assert machine.capabilities().lacking[Power.PAUSE]
        return
    machine.pause(guest.handle)
    machine.pause(guest.handle)
    assert machine.inspect(guest.handle).state is VMState.PAUSED
    before = machine.stats(guest.handle).cpu_seconds
    time.sleep(0.3)
    assert machine.stats(guest.handle).cpu_seconds - before < 0.1
    machine.resume(guest.handle)
    machine.resume(guest.handle)
    assert machine.inspect(guest.handle).state is VMState.RUNNING
    until(guest.healthy)
    assert guest.works()


def test_a_snapshot_is_listed_restored_and_removed(guest: Guest, machine: Runtime) -> None:
    if not isinstance(machine, Snapshotting):
        assert machine.capabilities().lacking[Power.SNAPSHOT]
        return
    assert list(machine.snapshots(guest.handle)) == []
    machine.snapshot(guest.handle, "Before_1.0")
    assert list(machine.snapshots(guest.handle)) == ["Before_1.0"]
    assert guest.works()
    machine.restore(guest.handle, "Before_1.0")
    assert _works_again(machine, guest.handle)
    machine.remove_snapshot(guest.handle, "Before_1.0")
    machine.remove_snapshot(guest.handle, "Before_1.0")
    assert list(machine.snapshots(guest.handle)) == []


def test_one_that_was_kept_warm_lives_as_its_owner_says_also_when_it_is_started_again(
    machine: Runtime, vm: VM
) -> None:
    if not isinstance(machine, KeepingWarm):
        assert machine.capabilities().lacking[Power.WARM]
        return
    with running(machine, vm) as guest:
        wanted = replace(vm, spec=replace(vm.spec, name="lab", idle_stop=0.5), created=time.time())
        machine.dedicate(guest.handle, wanted)
        Service(machine.endpoint(guest.handle)).dedicate(wanted.spec, wanted.created, 5.0)
        for again in (False, True):
            if again:
                machine.start(guest.handle)
            until(lambda: machine.inspect(guest.handle).state is VMState.STOPPED)
            assert machine.inspect(guest.handle).reason == "it had no work for 500 ms"


def test_a_command_runs_inside(machine: Runtime, guest: Guest) -> None:
    if not isinstance(machine, Executing):
        assert machine.capabilities().lacking[Power.EXEC]
        return
    done = machine.execute(guest.handle, ["sh", "-c", "echo here; echo there >&2; exit 3"])
    assert (done.status, done.output, done.errors) == (3, b"here\n", b"there\n")


# Ends


def test_it_can_be_stopped_and_started_again(guest: Guest, machine: Runtime) -> None:
    machine.stop(guest.handle)
    machine.stop(guest.handle)
    assert machine.inspect(guest.handle) == Inspection(VMState.STOPPED)
    assert machine.stats(guest.handle).processes == 0
    assert _works_again(machine, machine.start(guest.handle))


def test_a_guest_that_is_killed_is_told_as_failed_and_can_be_started_again(
    guest: Guest, machine: Runtime
) -> None:
    os.kill(guest.pid, signal.SIGKILL)
    until(lambda: machine.inspect(guest.handle).state is VMState.FAILED)
    assert machine.inspect(guest.handle).reason
    assert machine.stats(guest.handle).processes == 0
    assert _works_again(machine, machine.start(guest.handle))


def test_destroy_ends_what_runs_and_may_be_called_again(guest: Guest, machine: Runtime) -> None:
    handle, pid = guest.handle, guest.pid
    _busy(guest)
    machine.destroy(handle)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert handle.vm not in machine.leftovers()
    machine.destroy(handle)


def test_another_process_can_destroy_it(guest: Guest, machine: Runtime) -> None:
    subprocess.run(_elsewhere(machine, "destroy", to_json(guest.handle)), check=True)
    assert machine.inspect(guest.handle).state is not VMState.RUNNING
    assert guest.handle.vm not in machine.leftovers()


def test_one_that_is_owned_ends_with_its_owner(machine: Runtime, vm: VM) -> None:
    owner = subprocess.Popen(
        _elsewhere(machine, "own", to_json(vm)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        handle = from_json(owner.stdout.readline(), Handle)
        guest = Guest(machine, handle)
        with guest.http:
            until(guest.healthy)
    finally:
        owner.kill()
        owner.communicate()
    until(lambda: machine.inspect(handle).state is not VMState.RUNNING)
    machine.destroy(handle)
    assert vm.id not in machine.leftovers()


def test_one_that_is_not_stays_when_its_maker_is_gone(machine: Runtime) -> None:
    vm = make_vm(machine.name, memory=MEMORY, owner=None)
    maker = subprocess.Popen(
        _elsewhere(machine, "own", to_json(vm)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    handle = machine.create(vm)
    try:
        assert maker.stdout is not None
        assert from_json(maker.stdout.readline(), Handle) == handle
        maker.kill()
        maker.communicate()
        assert _works_again(machine, handle)
    finally:
        machine.destroy(handle)


def test_one_that_rests_too_long_ends_by_itself_and_says_why(machine: Runtime) -> None:
    handle = machine.create(make_vm(machine.name, memory=MEMORY, idle_stop=0.5))
    try:
        machine.start(handle)
        until(lambda: machine.inspect(handle).state is VMState.STOPPED)
        assert machine.inspect(handle).reason == "it had no work for 500 ms"
        assert LAST_WORDS in machine.logs(handle)
    finally:
        machine.destroy(handle)
