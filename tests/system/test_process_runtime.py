"""What the process runtime alone promises: limits by the kernel's means, and no way out of them."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from guests import make_vm, offspring, rehearsal, running, until

from qvirt.model.run import Method
from qvirt.model.vm import VMState
from qvirt.paths import Paths
from qvirt.runtimes import cgroups
from qvirt.runtimes.process import ProcessRuntime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS has none of these")


@pytest.fixture
def runtime(tmp_path: Path) -> ProcessRuntime:
    return ProcessRuntime(Paths(tmp_path / "home"))


def _is_first_to_go(pid: int) -> bool:
    """When the kernel runs out of memory. A worker sees to that last of all when it starts."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text()) > 0


def _open_files(pid: int) -> set[Path]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found.add(link.readlink())
    return found


def test_every_process_of_a_vm_is_confined(
    runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONVERBOSE", "1")
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    vm = make_vm(environment=rehearsal(tmp_path) | {"CUSTOM": "yes"}, spares=1)
    with running(runtime, vm) as guest:
        assert guest.works()
        until(lambda: len(guest.workers) == 2)
        until(lambda: all(_is_first_to_go(worker.pid) for worker in guest.workers))
        for pid in (guest.pid, *(worker.pid for worker in guest.workers)):
            process = psutil.Process(pid)
            status = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            assert os.getsid(pid) == pid != os.getsid(0)
            assert len(os.sched_getaffinity(pid)) == 1
            assert process.environ()["CUSTOM"] == "yes"
            assert "PYTHONVERBOSE" not in process.environ()
            assert tmp_path not in _open_files(pid)
        for worker in guest.workers:
            assert worker.rlimit(resource.RLIMIT_CORE)[0] == 0
        data = [worker.rlimit(resource.RLIMIT_DATA)[0] for worker in guest.workers]
        assert any(0 < limit < 2 << 30 for limit in data)  # of the one that has worked
        assert Path(f"/proc/{guest.pid}/cwd").readlink() == tmp_path / "home" / "vms" / vm.id
    os.close(secret)


def test_two_vms_of_one_cpu_get_different_ones(runtime: ProcessRuntime) -> None:
    allowed = os.sched_getaffinity(0)
    with running(runtime, make_vm(cpus=1)) as first, running(runtime, make_vm(cpus=1)) as second:
        bound = os.sched_getaffinity(first.pid), os.sched_getaffinity(second.pid)
        assert [len(cpus) for cpus in bound] == [1, 1]
        assert len(allowed) == 1 or bound[0] != bound[1]


def test_the_cgroup_holds_all_processes_has_the_last_word_and_is_removed(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    parent = cgroups.parent()
    vm = make_vm(memory=600 << 20, environment=rehearsal(tmp_path))
    with running(runtime, vm) as guest:
        limits = " ".join(runtime.inspect(guest.handle).limits)
        if parent is None:
            assert "RLIMIT_DATA" in limits
            return
        folder = parent.folder / f"qvirt-{vm.id}"
        assert f"cgroup v{parent.version}" in limits
        assert cgroups.memory_limit(folder) == 600 << 20
        status = guest.until_ended(guest.submit(method=Method.DECISION_DIAGRAM))
        assert status.error is not None
        assert status.error.code == "out_of_memory"
        assert "SIGKILL" in status.error.message
        assert guest.works()
        everybody = {guest.pid, *(worker.pid for worker in guest.workers)}
        assert everybody <= set(cgroups.members(folder))
    assert not folder.exists()


def test_a_group_that_cannot_be_had_leaves_the_rlimits(
    runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "parent", lambda: None)
    vm = make_vm(memory=600 << 20, environment=rehearsal(tmp_path))
    with running(runtime, vm) as guest:
        assert any("RLIMIT_DATA" in limit for limit in runtime.inspect(guest.handle).limits)
        status = guest.until_ended(guest.submit(method=Method.DENSITY_MATRIX))
        assert status.error is not None
        assert status.error.code == "out_of_memory"
        assert guest.works()


def test_a_guest_that_cannot_start_is_told_with_its_log(runtime: ProcessRuntime) -> None:
    vm = make_vm(environment={"PYTHONHOME": "/nowhere"})
    handle = runtime.create(vm)
    try:
        runtime.start(handle)
        until(lambda: runtime.inspect(handle).state is VMState.FAILED)
        assert "status 1" in (runtime.inspect(handle).reason or "")
        assert "encodings" in runtime.logs(handle)
    finally:
        runtime.destroy(handle)


def test_a_path_too_long_for_a_socket_does_no_harm(tmp_path: Path) -> None:
    runtime = ProcessRuntime(Paths(tmp_path / ("long" * 30)))
    with running(runtime, make_vm(environment=rehearsal(tmp_path))) as guest:
        socket = Path(runtime.endpoint(guest.handle).socket or "")
        assert socket.exists()
        assert guest.works()
    assert not socket.exists()


def test_children_are_waited_for(runtime: ProcessRuntime) -> None:
    with running(runtime, make_vm()) as guest:
        pid = guest.pid
        os.kill(pid, 9)
        until(lambda: runtime.inspect(guest.handle).state is VMState.FAILED)
        assert "SIGKILL" in (runtime.inspect(guest.handle).reason or "")
        assert not psutil.pid_exists(pid)


def test_a_number_that_was_given_to_another_process_is_left_alone(runtime: ProcessRuntime) -> None:
    vm = make_vm()
    handle = runtime.create(vm)
    try:
        record = f'{{"pid": {os.getpid()}, "birth": "1", "cpus": []}}'
        Path(runtime.endpoint(handle).socket or "").with_name("process.json").write_text(record)
        assert runtime.inspect(handle).state is VMState.FAILED
    finally:
        runtime.destroy(handle)
    assert offspring(os.getpid()) == []
