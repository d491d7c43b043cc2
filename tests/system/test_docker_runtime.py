"""What the docker runtime alone promises, on a real engine: confinement, limits, and the truth about ends.

The images are those in the state directory of whoever runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guest_images import usable
from guests import ENGINES, Guest, make_vm, rehearsal, running, until

from qvirt.errors import Conflict, NotFound, Unavailable, UsageError, VMFailed
from qvirt.model.order import Capabilities
from qvirt.model.run import Method
from qvirt.model.vm import VM, Handle, Power, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths, default_home
from qvirt.runtimes.docker import DockerRuntime, options, record, share
from qvirt.runtimes.docker.engine import Engine

IMAGES = default_home() / "images"
MEMORY = 700 << 20
DISK = 16 << 20


def _runtime(home: Path) -> DockerRuntime:
    home.mkdir(parents=True)
    (home / "images").symlink_to(IMAGES)
    return usable(DockerRuntime(Paths(home)))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[DockerRuntime]:
    found = _runtime(tmp_path / "home")
    yield found
    assert found.leftovers() == {}


def _vm(tmp_path: Path, **spec: Any) -> VM:
    """One in which the engine ``rehearsal`` is installed, from folders that anybody may read."""
    info = tmp_path / "installed"
    info.mkdir(exist_ok=True)
    rehearsal(info)
    info.chmod(0o755)
    environment = {"PYTHONPATH": "/engines:/installed"} | spec.pop("environment", {})
    volumes = (f"{ENGINES}:/engines", f"{info}:/installed", *spec.pop("volumes", ()))
    given = {"memory": MEMORY, "disk": DISK} | spec
    return make_vm("docker", owner=None, environment=environment, volumes=volumes, **given)


@pytest.fixture
def guest(runtime: DockerRuntime, tmp_path: Path) -> Iterator[Guest]:
    with running(runtime, _vm(tmp_path)) as found:
        yield found


def _engine(handle: Handle) -> Engine:
    return Engine(str(handle.data["engine"]))


def _name(handle: Handle) -> str:
    return options.name(handle.vm)


def _shown(guest: Guest) -> dict[str, Any]:
    found = _engine(guest.handle).container(_name(guest.handle))
    assert found is not None
    return found


def _sh(guest: Guest, script: str) -> tuple[int, str]:
    runtime = guest.runtime
    assert isinstance(runtime, DockerRuntime)
    done = runtime.execute(guest.handle, ["/bin/sh", "-c", script])
    return done.status, (done.output + done.errors).decode().strip()


def _python(guest: Guest, program: str) -> tuple[int, str]:
    runtime = guest.runtime
    assert isinstance(runtime, DockerRuntime)
    done = runtime.execute(guest.handle, ["python3", "-S", "-c", program])
    return done.status, (done.output + done.errors).decode().strip()


def _again(runtime: DockerRuntime, vm: VM, handle: Handle) -> None:
    """Started anew as ``VMs.start`` does, it works."""
    started = runtime.start(runtime.create(replace(vm, handle=handle)))
    assert runtime.inspect(started).state is VMState.RUNNING
    found = Guest(runtime, started)
    with found.http:
        until(found.healthy)
        assert found.works()


# Its health, as the engine sees it


def test_the_health_check_tells_whether_somebody_listens(guest: Guest) -> None:
    if _engine(guest.handle).facts.podman:
        pytest.skip("docker: this is Podman, which has systemd check the health")
    kind, script = _shown(guest)["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    assert _sh(guest, script)[0] == 0
    assert _sh(guest, script.replace("guest.sock", "other.sock"))[0] == 1


# Confinement, seen from inside


def test_the_kernel_says_that_it_is_confined(guest: Guest) -> None:
    for pid in (guest.pid, *(worker.pid for worker in guest.workers)):
        status = Path(f"/proc/{pid}/status").read_text()
        for line in (
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ):
            assert line in status
        assert "\nUid:\t0\t" not in status


def test_there_is_no_way_out(guest: Guest) -> None:
    status, said = _python(
        guest,
        "import socket, os\n"
        "print(sorted(os.listdir('/sys/class/net')))\n"
        "for family, there in ((socket.AF_INET, ('192.0.2.1', 80)), (socket.AF_INET, ('172.17.0.1', 22)),\n"
        "                      (socket.AF_INET6, ('2001:db8::1', 80))):\n"
        "    try:\n"
        "        with socket.socket(family) as s:\n"
        "            s.settimeout(2); s.connect(there); print('reached', there)\n"
        "    except OSError as error: print(type(error).__name__, error.errno)\n",
    )
    assert status == 0, said
    first, *tries = said.splitlines()
    assert first == "['lo']"
    assert len(tries) == 3
    assert not any("reached" in each for each in tries)


def test_nothing_but_its_own_socket_can_be_reached(guest: Guest) -> None:
    assert _sh(guest, "find / -xdev -type s 2>/dev/null; find /run -type s")[1] == ""
    listening = [line for line in _sh(guest, "cat /proc/net/unix")[1].splitlines() if " 00010000 " in line]
    assert [line.split()[-1] for line in listening] == ["/run/qvirt/guest.sock"]
    assert not [line for line in _sh(guest, "cat /proc/net/tcp")[1].splitlines() if " 0A " in line]


def test_nothing_outside_its_disk_can_be_written(guest: Guest) -> None:
    for place in (
        "/",
        "/usr",
        "/etc",
        "/run",
        "/var",
        "/root",
        "/var/tmp",
        "/proc/sys/kernel",
        "/sys",
        "/engines",
    ):
        assert _sh(guest, f"echo x > {place}/written")[0] != 0, place
    assert _sh(guest, "echo x > /tmp/written && cat /tmp/written") == (0, "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="docker: the folder can be closed by root only")
def test_the_shared_folder_is_closed_once_the_guest_listens(guest: Guest, tmp_path: Path) -> None:
    for script in (
        "echo x > /run/qvirt/x",
        "rm -f /run/qvirt/token",
        "chmod 777 /run/qvirt",
        "mkdir /run/qvirt/d",
    ):
        assert _sh(guest, script)[0] != 0, script
    paths = Paths(tmp_path / "home")
    assert sorted(path.name for path in paths.vm_shared(guest.handle.vm).iterdir()) == ["token"]
    assert guest.works()


def test_other_users_of_the_host_cannot_reach_it(guest: Guest, tmp_path: Path) -> None:
    folder = Paths(tmp_path / "home").vm(guest.handle.vm)
    assert folder.stat().st_mode & 0o077 == 0


def test_namespaces_and_mounts_cannot_be_made(guest: Guest) -> None:
    if not _engine(guest.handle).facts.podman:  # whose profile allows that
        assert _sh(guest, "busybox unshare -U true")[0] != 0
    assert _sh(guest, "busybox mount -t tmpfs x /tmp")[0] != 0


# Limits


def test_limits_are_told_as_the_engine_holds_them(guest: Guest, runtime: DockerRuntime) -> None:
    limits = runtime.inspect(guest.handle).limits
    for beginning in (
        *("memory: 700 MiB, no swap", "cpus: 1 ", "processes: 256", "disk: 16.0 MiB"),
        *("network: none", "files: read-only", "user: ", "capabilities: none", "privileges: none"),
        *("system calls: ", *(() if _engine(guest.handle).facts.podman else ("log: 2 × 1m",))),
    ):
        assert any(limit.startswith(beginning) for limit in limits), beginning


def test_the_disk_is_full_when_it_is_full(guest: Guest) -> None:
    status, said = _sh(
        guest, "dd if=/dev/zero of=/tmp/large bs=1048576 count=64; ls -l /tmp/large; rm /tmp/large"
    )
    assert "No space left" in said, (status, said)
    assert guest.works()


def test_processes_are_counted(guest: Guest) -> None:
    status, said = _python(
        guest,
        "import os, signal\nchildren = []\n"
        "try:\n"
        "    while len(children) < 1000:\n"
        "        pid = os.fork()\n"
        "        if not pid: signal.pause()\n"
        "        children.append(pid)\n"
        "except OSError as error: print(type(error).__name__, len(children))\n"
        "for pid in children: os.kill(pid, 9)\n",
    )
    assert "BlockingIOError" in said, (status, said)
    assert int(said.split()[-1]) < 256
    assert guest.works()


def test_a_worker_that_takes_all_memory_dies_and_the_vm_goes_on(guest: Guest, runtime: DockerRuntime) -> None:
    status = guest.until_ended(guest.submit(method=Method.DECISION_DIAGRAM))
    assert status.error is not None
    assert status.error.code == "out_of_memory"
    assert "SIGKILL" in status.error.message
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    assert guest.works()


def test_a_guest_that_takes_all_memory_says_so(runtime: DockerRuntime, tmp_path: Path) -> None:
    greedy = tmp_path / "greedy"
    greedy.mkdir(mode=0o755)
    (greedy / "fastapi.py").write_text("taken = [bytearray(64 << 20) for _ in range(64)]\n")
    vm = _vm(
        tmp_path, volumes=(f"{greedy}:/greedy",), environment={"PYTHONPATH": "/greedy"}, memory=256 << 20
    )
    handle = runtime.create(vm)
    try:
        runtime.start(handle)
        until(lambda: runtime.inspect(handle).state is not VMState.RUNNING)
        found = runtime.inspect(handle)
        assert found.state is VMState.FAILED
        told = "killed" if _engine(handle).facts.podman else "memory ran out: 256 MiB"
        assert told in (found.reason or "")
    finally:
        runtime.destroy(handle)


def test_a_resized_vm_has_its_new_limits_at_once_and_after_a_restart(
    guest: Guest, runtime: DockerRuntime, tmp_path: Path
) -> None:
    if Power.RESIZE not in runtime.capabilities().powers:
        pytest.skip("docker: this engine cannot resize")
    spec = replace(_vm(tmp_path).spec, memory=900 << 20, cpus=2)
    runtime.resize(guest.handle, spec)
    assert any(limit.startswith("memory: 900 MiB, no swap") for limit in runtime.inspect(guest.handle).limits)
    assert any(limit.startswith("cpus: 2 ") for limit in runtime.inspect(guest.handle).limits)
    inside = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert _sh(guest, inside)[1] == str(900 << 20)
    runtime.stop(guest.handle)
    again = Guest(runtime, runtime.start(guest.handle))
    with again.http:
        until(again.healthy)
        told = from_json(again.http.get("/v1/capabilities").content, Capabilities)
    assert (told.memory, told.cpus) == (900 << 20, 2)


def test_one_that_is_stopped_is_resized_when_it_starts(runtime: DockerRuntime, tmp_path: Path) -> None:
    vm = _vm(tmp_path)
    handle = runtime.create(vm)
    try:
        runtime.resize(handle, replace(vm.spec, memory=800 << 20))
        runtime.start(handle)
        assert any(limit.startswith("memory: 800 MiB") for limit in runtime.inspect(handle).limits)
    finally:
        runtime.destroy(handle)


def test_its_time_to_live_counts_from_its_creation(runtime: DockerRuntime, tmp_path: Path) -> None:
    vm = replace(_vm(tmp_path, ttl=3.0), created=time.time() - 1.0)
    with running(runtime, vm) as guest:
        runtime.stop(guest.handle)
        time.sleep(0.5)
        runtime.start(guest.handle)
        until(lambda: runtime.inspect(guest.handle).state is VMState.STOPPED, patience=10.0)
        assert runtime.inspect(guest.handle).reason == "its time to live is over"


# Powers


def test_a_paused_vm_uses_no_time(guest: Guest, runtime: DockerRuntime) -> None:
    order = guest.submit(method=Method.STATEVECTOR)
    guest.until_simulating(order)
    runtime.pause(guest.handle)
    runtime.pause(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.PAUSED
    before = runtime.stats(guest.handle).cpu_seconds
    time.sleep(0.3)
    assert runtime.stats(guest.handle).cpu_seconds == before
    with pytest.raises(Conflict):
        runtime.execute(guest.handle, ["true"])
    runtime.resume(guest.handle)
    runtime.resume(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    guest.cancel(order)
    assert guest.works()


def test_a_paused_vm_can_be_stopped(guest: Guest, runtime: DockerRuntime) -> None:
    runtime.pause(guest.handle)
    runtime.stop(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.STOPPED


def test_commands_run_inside(guest: Guest, runtime: DockerRuntime) -> None:
    done = runtime.execute(guest.handle, ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.status, done.output, done.errors) == (3, b"out\n", b"err\n")
    assert runtime.execute(guest.handle, ["id", "-u"]).status == 0
    missing = runtime.execute(guest.handle, ["no-such-command"])
    assert missing.status in (126, 127)
    assert b"no command no-such-command" in missing.errors
    assert b"busybox" in missing.errors


def test_a_command_needs_a_vm_that_runs(guest: Guest, runtime: DockerRuntime) -> None:
    runtime.stop(guest.handle)
    with pytest.raises(Conflict, match="not running"):
        runtime.execute(guest.handle, ["true"])


def test_a_gpu_is_refused_where_there_is_none(runtime: DockerRuntime, tmp_path: Path) -> None:
    if Power.GPU in runtime.capabilities().powers:
        pytest.skip("docker: this engine has the NVIDIA runtime")
    with pytest.raises(Unavailable, match="no GPU can be passed through"):
        runtime.create(_vm(tmp_path, gpu=True))
    assert not list((tmp_path / "home" / "vms").glob("*"))


def test_volumes_are_there_and_read_only(runtime: DockerRuntime, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "file").write_text("content")
    (data / "file").chmod(0o644)
    with running(runtime, _vm(tmp_path, volumes=(f"{data}:/data",))) as guest:
        assert _sh(guest, "cat /data/file") == (0, "content")
        assert _sh(guest, "echo x > /data/file")[0] != 0
        assert _sh(guest, "touch /data/other")[0] != 0


def test_a_volume_that_is_not_there_leaves_nothing(runtime: DockerRuntime, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of this machine"):
        runtime.create(_vm(tmp_path, volumes=("/nowhere/at/all:/data",)))
    assert not list((tmp_path / "home" / "vms").glob("*"))


# Ends that nobody asked for


def test_killed_from_outside(guest: Guest, runtime: DockerRuntime, tmp_path: Path) -> None:
    _engine(guest.handle).api.kill(_name(guest.handle))
    until(lambda: runtime.inspect(guest.handle).state is VMState.FAILED)
    assert "status 137" in (runtime.inspect(guest.handle).reason or "")
    _again(runtime, replace(_vm(tmp_path), id=guest.handle.vm), guest.handle)


def test_removed_from_outside(guest: Guest, runtime: DockerRuntime, tmp_path: Path) -> None:
    _engine(guest.handle).remove(_name(guest.handle))
    found = runtime.inspect(guest.handle)
    assert found.state is VMState.FAILED
    assert "removed by somebody else" in (found.reason or "")
    assert runtime.stats(guest.handle).processes == 0
    assert runtime.logs(guest.handle) == ""
    runtime.stop(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.STOPPED
    _again(runtime, replace(_vm(tmp_path), id=guest.handle.vm), guest.handle)


def test_stopped_from_outside(guest: Guest, runtime: DockerRuntime) -> None:
    _engine(guest.handle).api.stop(_name(guest.handle), timeout=5)
    found = runtime.inspect(guest.handle)
    assert found.state is VMState.STOPPED
    assert "somebody else" in (found.reason or "")


def test_paused_from_outside(guest: Guest, runtime: DockerRuntime) -> None:
    api = _engine(guest.handle).api
    api.pause(_name(guest.handle))
    assert runtime.inspect(guest.handle).state is VMState.PAUSED
    api.unpause(_name(guest.handle))


def test_a_guest_that_cannot_start_is_told_with_its_log(runtime: DockerRuntime, tmp_path: Path) -> None:
    handle = runtime.create(_vm(tmp_path, environment={"PYTHONHOME": "/nowhere"}))
    try:
        runtime.start(handle)
        until(lambda: runtime.inspect(handle).state is VMState.FAILED)
        assert "status 1" in (runtime.inspect(handle).reason or "")
        assert "encodings" in runtime.logs(handle)
    finally:
        runtime.destroy(handle)


def test_logs_stay_when_it_is_started_again(guest: Guest, runtime: DockerRuntime) -> None:
    guest.answer(guest.submit(method=Method.EXTENDED_STABILIZER))
    until(lambda: "printed by native code" in runtime.logs(guest.handle))
    runtime.stop(guest.handle)
    assert "printed by native code" in runtime.logs(guest.handle)
    runtime.start(guest.handle)
    assert runtime.logs(guest.handle).count("printed by native code") == 1


def test_an_owned_vm_ends_with_its_owner(runtime: DockerRuntime, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom qvirt.model.vm import VM\n"
        "from qvirt.model.wire import from_json, to_json\nfrom qvirt.paths import Paths\n"
        "from qvirt.runtimes.docker import DockerRuntime\n"
        "runtime = DockerRuntime(Paths(Path(sys.argv[1])))\n"
        "handle = runtime.start(runtime.create(from_json(sys.argv[2].encode(), VM)))\n"
        "print(to_json(handle).decode(), flush=True)\nsys.stdin.read()\n"
    )
    vm = replace(_vm(tmp_path), owner="1-1")
    command = [sys.executable, "-c", program, str(tmp_path / "home"), to_json(vm).decode()]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert owner.stdout is not None
        handle = from_json(owner.stdout.readline(), Handle)
        guest = Guest(runtime, handle)
        with guest.http:
            until(guest.healthy)
            assert guest.works()
    finally:
        owner.kill()
        owner.communicate()
    try:
        until(lambda: runtime.inspect(handle).state is not VMState.RUNNING, patience=10.0)
        assert "that it lived with" in (runtime.inspect(handle).reason or "")
    finally:
        runtime.destroy(handle)


# The engine


def _elsewhere(handle: Handle, path: Path) -> Handle:
    """The handle of a VM whose engine does not answer."""
    return replace(handle, data=dict(handle.data) | {"engine": str(path)})


def test_a_guest_outlives_the_silence_of_its_engine(
    guest: Guest, runtime: DockerRuntime, tmp_path: Path
) -> None:
    silent = _elsewhere(guest.handle, tmp_path / "no.sock")
    found = runtime.inspect(silent)
    assert found.state is VMState.RUNNING
    assert "does not answer" in (found.reason or "")
    assert runtime.endpoint(silent) == runtime.endpoint(guest.handle)
    with pytest.raises(Unavailable):
        runtime.stop(silent)
    assert runtime.inspect(silent).state is VMState.RUNNING
    assert guest.works()


def test_an_engine_that_does_not_answer_is_told_and_not_raised_by_inspect(
    runtime: DockerRuntime, tmp_path: Path
) -> None:
    handle = runtime.create(_vm(tmp_path))
    silent = _elsewhere(handle, tmp_path / "no.sock")
    try:
        found = runtime.inspect(silent)
        assert found.state is VMState.STOPPED
        assert "does not answer: No such file" in (found.reason or "")
        for verb in (runtime.start, runtime.stop, runtime.destroy, runtime.logs, runtime.stats):
            with pytest.raises(Unavailable, match="does not answer") as caught:
                verb(silent)
            assert caught.value.hint
    finally:
        runtime.destroy(handle)


def test_without_an_engine_nothing_is_left(
    runtime: DockerRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
        available = runtime.probe()
        assert not available.available
        assert "does not answer" in available.reason
        assert available.hint
        with pytest.raises(Unavailable):
            runtime.create(_vm(tmp_path))
    assert not list((tmp_path / "home" / "vms").glob("*"))


def test_without_an_image_nothing_is_left(runtime: DockerRuntime, tmp_path: Path) -> None:
    home = tmp_path / "bare"
    bare = DockerRuntime(Paths(home))
    assert bare.probe().hint == "qvirt image build --for docker"
    with pytest.raises(NotFound) as caught:
        bare.create(_vm(tmp_path))
    assert caught.value.hint == "qvirt image build --for docker"
    assert not list((home / "vms").glob("*"))
    assert bare.leftovers() == {}


def test_an_image_that_the_engine_has_lost_is_loaded_again(runtime: DockerRuntime, tmp_path: Path) -> None:
    vm = _vm(tmp_path)
    handle = runtime.create(vm)
    engine = _engine(handle)
    image = str(engine.api.inspect_container(_name(handle))["Config"]["Image"])
    runtime.destroy(handle)
    engine.api.remove_image(image, force=True)
    with running(runtime, vm) as guest:
        assert guest.works()


def test_what_is_left_behind_is_found_by_its_labels(runtime: DockerRuntime, tmp_path: Path) -> None:
    other = _runtime(tmp_path / "other")
    handle = runtime.create(_vm(tmp_path))
    foreign = other.create(_vm(tmp_path))
    try:
        found = runtime.leftovers()
        assert found == {handle.vm: handle}
        share.forget(Paths(tmp_path / "home"), handle.vm)
        runtime.destroy(found[handle.vm])
        assert runtime.leftovers() == {}
        assert set(other.leftovers()) == {foreign.vm}
    finally:
        runtime.destroy(handle)
        other.destroy(foreign)


def test_a_container_whose_files_are_gone_is_made_anew(runtime: DockerRuntime, tmp_path: Path) -> None:
    vm = _vm(tmp_path)
    with running(runtime, vm) as guest:
        record.remove(Paths(tmp_path / "home"), vm.id)
        with pytest.raises(VMFailed, match="is gone"):
            runtime.endpoint(guest.handle)
        _again(runtime, vm, guest.handle)


def test_a_path_too_long_for_a_socket_does_no_harm(tmp_path: Path) -> None:
    runtime = _runtime(tmp_path / ("long" * 30))
    with running(runtime, _vm(tmp_path)) as guest:
        path = Path(runtime.endpoint(guest.handle).socket or "")
        assert path.is_symlink()
        assert guest.works()
    assert not os.path.lexists(path)
    assert runtime.leftovers() == {}


def test_the_calibration_is_given_along(runtime: DockerRuntime, tmp_path: Path) -> None:
    (tmp_path / "home" / "calibration.json").write_text("{}")
    with running(runtime, _vm(tmp_path)) as guest:
        assert _sh(guest, "cat /run/qvirt/calibration.json") == (0, "{}")
