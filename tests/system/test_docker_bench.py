"""The run-time section of docker-bench-security, asked of a VM that runs.

Numbers and titles are those of the CIS Docker benchmark from version 1.6 on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from guest_images import lend, usable
from guests import make_vm, running

from qvirt.model.vm import ImageForm
from qvirt.runtimes.docker import DockerRuntime, options
from qvirt.runtimes.docker.engine import Engine
from qvirt.runtimes.docker.facts import Facts
from qvirt.runtimes.docker.volumes import SENSITIVE

MEMORY = 700 << 20


@dataclass(frozen=True)
class Seen:
    """What the engine says of itself and of the container, and what its processes are."""

    facts: Facts
    info: dict[str, Any]
    shown: dict[str, Any]
    processes: str
    executed: str

    @property
    def host(self) -> dict[str, Any]:
        return self.shown["HostConfig"]

    @property
    def config(self) -> dict[str, Any]:
        return self.shown["Config"]

    @property
    def ports(self) -> dict[str, Any]:
        return self.shown["NetworkSettings"]["Ports"]

    @property
    def sources(self) -> list[Path]:
        return [Path(mount["Source"]) for mount in self.shown["Mounts"]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Of a VM that a folder of the host is shared with."""
    folder = tmp_path_factory.mktemp("bench")
    runtime = usable(DockerRuntime(lend(ImageForm.DOCKER, folder / "home")))
    (folder / "data").mkdir()
    vm = make_vm("docker", memory=MEMORY, volumes=(f"{folder / 'data'}:/data",))
    with running(runtime, vm) as guest:
        engine = Engine(str(guest.handle.data["engine"]))
        if engine.facts.podman:
            pytest.skip("docker: this is Podman, which the benchmark is not about")
        shown = engine.container(options.name(vm.id))
        assert shown is not None
        processes = json.dumps(engine.api.top(options.name(vm.id)))
        executed = runtime.execute(guest.handle, ["sh", "-c", "id -u; cat /proc/self/status"])
        yield Seen(engine.facts, engine.api.info(), shown, processes, executed.output.decode())


CHECKS: dict[str, Callable[[Seen], bool]] = {
    "4.1 a user for the container has been created": lambda it: (
        it.config["User"].partition(":")[0] not in ("", "0", "root")
    ),
    "5.1 swarm mode is not enabled, if not needed": lambda it: (
        it.info["Swarm"]["LocalNodeState"] == "inactive"
    ),
    "5.2 if applicable, an AppArmor profile is enabled": lambda it: (
        not it.facts.apparmor or it.shown["AppArmorProfile"] not in ("", "unconfined")
    ),
    "5.3 if applicable, SELinux security options are set": lambda it: bool(it.host["SecurityOpt"]),
    "5.4 Linux kernel capabilities are restricted within containers": lambda it: (
        not it.host["CapAdd"] and it.host["CapDrop"] == ["ALL"]
    ),
    "5.5 privileged containers are not used": lambda it: it.host["Privileged"] is False,
    "5.6 sensitive host system directories are not mounted on containers": lambda it: (
        len(it.sources) == 2 and SENSITIVE.isdisjoint(it.sources)
    ),
    "5.7 sshd is not run within containers": lambda it: "sshd" not in it.processes,
    "5.8 privileged ports are not mapped within containers": lambda it: not it.ports,
    "5.9 only needed ports are open on the container": lambda it: (
        not it.host["PortBindings"] and not it.config.get("ExposedPorts")
    ),
    "5.10 the host's network namespace is not shared": lambda it: it.host["NetworkMode"] == "none",
    "5.11 the memory usage for containers is limited": lambda it: (
        it.host["Memory"] == MEMORY == it.host["MemorySwap"]
    ),
    "5.12 CPU priority is set appropriately on containers": lambda it: (
        it.host["CpuShares"] > 0 and it.host["CpuQuota"] == it.host["CpuPeriod"] > 0
    ),
    "5.13 the container's root file system is mounted as read only": lambda it: (
        it.host["ReadonlyRootfs"] is True
    ),
    "5.14 incoming container traffic is bound to a specific host interface": lambda it: (
        it.host["PublishAllPorts"] is False
    ),
    "5.15 the 'on-failure' container restart policy is set to '5'": lambda it: (
        it.host["RestartPolicy"]["Name"] in ("", "no", "on-failure")
        and it.host["RestartPolicy"]["MaximumRetryCount"] <= 5
    ),
    "5.16 the host's process namespace is not shared": lambda it: it.host["PidMode"] != "host",
    "5.17 the host's IPC namespace is not shared": lambda it: it.host["IpcMode"] == "private",
    "5.18 host devices are not directly exposed to containers": lambda it: (
        not it.host["Devices"] and not it.host["DeviceRequests"]
    ),
    "5.19 the default ulimit is overwritten at run time if needed": lambda it: (
        {limit["Name"] for limit in it.host["Ulimits"]} == {"nofile", "core"}
    ),
    "5.20 mount propagation mode is not set to shared": lambda it: (
        not any("shared" in (mount.get("Propagation") or "") for mount in it.shown["Mounts"])
    ),
    "5.21 the host's UTS namespace is not shared": lambda it: it.host["UTSMode"] != "host",
    "5.22 the default seccomp profile is not disabled": lambda it: (
        it.facts.seccomp
        and not any("seccomp" in option for option in it.host["SecurityOpt"])
        and "Seccomp:\t2" in it.executed
    ),
    "5.23 docker exec commands are not used with the privileged option": lambda it: (
        "CapEff:\t0000000000000000" in it.executed and "NoNewPrivs:\t1" in it.executed
    ),
    "5.24 docker exec commands are not used with the user=root option": lambda it: (
        it.executed.splitlines()[0] == it.config["User"].partition(":")[0] != "0"
    ),
    "5.25 cgroup usage is confirmed": lambda it: it.host["CgroupParent"] == "",
    "5.26 the container is restricted from acquiring additional privileges": lambda it: (
        "no-new-privileges" in it.host["SecurityOpt"]
    ),
    "5.27 container health is checked at run time": lambda it: (
        it.shown["State"]["Health"]["Status"] in ("starting", "healthy")
    ),
    "5.28 Docker commands always make use of the latest version of their image": lambda it: (
        ":" in it.config["Image"] and not it.config["Image"].endswith(":latest")
    ),
    "5.29 the PIDs cgroup limit is used": lambda it: it.host["PidsLimit"] == 256,
    "5.30 Docker's default bridge 'docker0' is not used": lambda it: (
        set(it.shown["NetworkSettings"]["Networks"]) == {"none"}
    ),
    "5.31 the host's user namespaces are not shared": lambda it: it.host["UsernsMode"] != "host",
    "5.32 the Docker socket is not mounted inside any containers": lambda it: (
        not any(source.is_socket() or source.name == "docker.sock" for source in it.sources)
    ),
}


@pytest.mark.parametrize("check", CHECKS)
def test_docker_bench_security(seen: Seen, check: str) -> None:
    assert CHECKS[check](seen)


def test_every_check_of_the_section_is_asked() -> None:
    assert [check.split()[0] for check in CHECKS][1:] == [f"5.{number}" for number in range(1, 33)]
