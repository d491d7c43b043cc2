"""What a container's state is for qvirt; the containers are shortened ones of Docker 20.10."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qvirt.model.vm import VMSpec, VMState
from qvirt.runtimes.contract import Inspection
from qvirt.runtimes.docker.inspection import held, inspection
from qvirt.runtimes.docker.record import Wanted

SPEC = VMSpec("lab", "docker", memory=1 << 30)
RUNS = Wanted(SPEC, owned=False, created=0.0, started=True)
STOPPED = Wanted(SPEC, owned=False, created=0.0)
OWNED = Wanted(SPEC, owned=True, created=0.0, started=True)


def container(**state: Any) -> dict[str, Any]:
    usual = {"Status": "exited", "Running": False, "Paused": False, "OOMKilled": False, "Pid": 0}
    return {
        "State": usual | {"ExitCode": 0, "Error": ""} | state,
        "Config": {"User": "65534:65534"},
        "AppArmorProfile": "",
        "HostConfig": {
            "Memory": 1 << 30,
            "MemorySwap": 1 << 30,
            "CpuQuota": 150000,
            "CpuPeriod": 100000,
            "PidsLimit": 256,
            "Tmpfs": {"/tmp": "size=1048576,mode=1777", "/run/states": "size=1073741824,mode=1777"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": None,
            "SecurityOpt": ["no-new-privileges"],
        },
    }


def look(found: dict[str, Any] | None, wanted: Wanted | None, log: str = "") -> Inspection:
    return inspection(found, wanted, True, lambda: log)


def test_running_and_paused() -> None:
    running = look(container(Status="running", Running=True, Pid=7), RUNS)
    assert (running.state, running.pid) == (VMState.RUNNING, 7)
    assert look(container(Status="paused", Running=True, Paused=True, Pid=7), RUNS).state is VMState.PAUSED


@pytest.mark.parametrize(
    ("found", "wanted", "log", "state", "reason"),
    [
        (None, None, "", VMState.STOPPED, None),
        (container(), STOPPED, "", VMState.STOPPED, None),
        (container(ExitCode=137), STOPPED, "", VMState.STOPPED, None),
        (None, RUNS, "", VMState.FAILED, "removed by somebody else"),
        (container(), RUNS, "", VMState.STOPPED, "stopped by somebody else"),
        (container(), OWNED, "", VMState.FAILED, "process that it lived with"),
        (container(), RUNS, "x\nqvirt.guest has ended: it was late\n", VMState.STOPPED, "it was late"),
        (container(ExitCode=137), RUNS, "", VMState.FAILED, "killed (status 137)"),
        (container(ExitCode=137, OOMKilled=True), RUNS, "", VMState.FAILED, "memory ran out: 1.00 GiB"),
        (container(ExitCode=1, OOMKilled=True), RUNS, "", VMState.FAILED, "ended with status 1"),
        (container(ExitCode=127, Error="no such file"), RUNS, "", VMState.FAILED, "no such file"),
        (container(Status="created"), RUNS, "", VMState.STOPPED, "not started to the end"),
    ],
)
def test_ended(
    found: dict[str, Any] | None, wanted: Wanted | None, log: str, state: VMState, reason: str | None
) -> None:
    told = look(found, wanted, log)
    assert told.state is state
    assert told.reason is None if reason is None else reason in (told.reason or "")


def test_limits_are_those_that_the_engine_has() -> None:
    limits = list(held(container(Pid=0), closed=True))
    assert "memory: 1.00 GiB, no swap (cgroup)" in limits
    assert "cpus: 1.5 (cgroup)" in limits
    assert "processes: 256, threads included (cgroup)" in limits
    assert "disk: 1.00 MiB at /tmp, in its memory (tmpfs)" in limits
    assert "capabilities: none" in limits
    assert "states: 1.00 GiB at /run/states, in its memory (tmpfs)" in limits
    assert "files: read-only, save for disk and states" in limits
    assert "files: read-only, save for disk and states and /run/qvirt, which is not limited" in held(
        container(), closed=False
    )
    assert "privileges: none can be gained (no_new_privs)" in limits
    assert not any(limit.startswith("system calls") for limit in limits)


def test_of_a_guest_that_can_be_seen_the_kernel_has_the_word() -> None:
    limits = list(held(container(Pid=os.getpid()), closed=True))
    status = Path("/proc/self/status").read_text()
    assert ("capabilities: none" in limits) == ("CapBnd:\t0000000000000000" in status)
    assert any(limit.startswith("system calls") for limit in limits) == ("Seccomp:\t2" in status)


def test_a_limit_that_the_engine_dropped_is_not_named() -> None:
    loose = container()
    loose["HostConfig"] |= {
        "Memory": 0,
        "CpuQuota": 0,
        "PidsLimit": None,
        "Tmpfs": None,
        "NetworkMode": "bridge",
        "ReadonlyRootfs": False,
        "CapDrop": None,
        "SecurityOpt": None,
        "LogConfig": {"Type": "json-file", "Config": None},
    }
    loose["Config"]["User"] = "0"
    assert list(held(loose, closed=True)) == []


def test_swap_that_is_not_limited_is_said() -> None:
    swapping = container()
    swapping["HostConfig"]["MemorySwap"] = -1
    assert "memory: 1.00 GiB, swap not limited (cgroup)" in held(swapping, closed=True)
