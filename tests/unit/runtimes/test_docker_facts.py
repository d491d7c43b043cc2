"""What engines say of themselves; the answers are shortened ones of Docker 20.10 and Podman 4.3."""

from __future__ import annotations

from typing import Any

import pytest

from qvirt.errors import Unavailable
from qvirt.runtimes.docker.facts import Facts, read_facts

DOCKER_VERSION = {"Version": "20.10.24+dfsg1", "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}
DOCKER_INFO = {
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "CgroupVersion": "1",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Runtimes": {"runc": {"path": "runc"}},
}
PODMAN_VERSION = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}


def facts(version: dict[str, Any] = DOCKER_VERSION, **changes: Any) -> Facts:
    return read_facts(version, DOCKER_INFO | changes)


def test_docker() -> None:
    found = facts()
    assert (found.product, found.version, found.cgroup) == ("Docker", "20.10.24+dfsg1", "1")
    assert found.seccomp
    assert not (found.podman or found.rootless or found.apparmor or found.nvidia)
    found.require()


def test_podman() -> None:
    assert facts(PODMAN_VERSION).podman


def test_an_engine_that_cannot_hold_the_limits_is_refused() -> None:
    with pytest.raises(Unavailable, match="cannot limit memory and processes"):
        facts(MemoryLimit=False, PidsLimit=False).require()


def test_an_engine_that_cannot_share_folders_is_refused() -> None:
    with pytest.raises(Unavailable, match="userns-remap"):
        facts(SecurityOptions=["name=userns"]).require()


def test_a_gpu_needs_the_nvidia_runtime() -> None:
    with pytest.raises(Unavailable, match="no GPU can be passed through"):
        facts().require_nvidia()
    facts(Runtimes={"runc": {}, "nvidia": {}}).require_nvidia()


def test_an_engine_may_leave_out_what_it_has_not() -> None:
    found = read_facts({}, {"SecurityOptions": None, "Runtimes": None})
    assert found.unheld == ("memory", "CPUs", "processes")
