"""Engines that stop, are killed while a VM is made, or run out of disk: what the user is told, what stays.

Docker and libvirt are engines of the tests' own; QEMU has none, so that its process is killed itself.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import Cli, eventually
from guest_images import copy, empty, lend
from private_engines import PrivateEngine, private_docker, private_libvirt

from qvirt.model.vm import ImageForm
from qvirt.runtimes.docker.engine import Engine

CREATE = ("vm", "create", "lab", "--memory", "700m", "--runtime")


def vms(cli: Cli) -> dict[str, dict[str, Any]]:
    return {vm["spec"]["name"]: vm for vm in cli.json("vm", "list")["vms"]}


def counts(cli: Cli, bell: Path) -> dict[str, int]:
    return cli.json("run", bell, "--vm", "lab", "--shots", 100)["runs"][0]["result"]["counts"]


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """With the reason, and what to do next."""
    assert done.returncode == status, done.stderr
    for word in (*words, "hint:"):
        assert word in done.stderr
    for word in ("Traceback", "internal error"):
        assert word not in done.stderr


def soon(holds: Callable[[], object]) -> None:
    """Without a pause: the moment is to be hit."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


@pytest.fixture(scope="module")
def daemon() -> Iterator[PrivateEngine]:
    with (
        tempfile.TemporaryDirectory(prefix="qvirt-docker-") as folder,
        private_docker(Path(folder)) as engine,
    ):
        yield engine


@pytest.fixture
def docker(cli: Cli, daemon: PrivateEngine) -> Iterator[PrivateEngine]:
    """Started; nothing of qvirt's is in it when the test has ended."""
    lend(ImageForm.DOCKER, cli.home)
    cli.environment |= daemon.environment
    yield daemon
    assert containers(daemon) == []
    assert list((cli.home / "vms").glob("*")) == []


def engine_of(daemon: PrivateEngine) -> Engine:
    return Engine(str(daemon.socket))


def containers(daemon: PrivateEngine) -> list[str]:
    return [each["Id"] for each in engine_of(daemon).labelled("qvirt.vm")]


# Docker


def test_docker_is_killed_while_it_takes_in_the_image(cli: Cli, docker: PrivateEngine, bell: Path) -> None:
    api = engine_of(docker).api
    for image in api.images():
        api.remove_image(image["Id"], force=True)
    making = cli.start(*CREATE, "docker")
    soon(lambda: list((cli.home / "vms").glob("*/docker.json")))
    docker.kill()
    refused(ended(making), 6, "the container engine", "does not answer", "systemctl start docker")
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []
    refused(cli(*CREATE, "docker"), 6, "does not answer")
    docker.start()
    assert vms(cli) == {}
    assert cli(*CREATE, "docker").returncode == 0
    assert counts(cli, bell)
    assert cli("vm", "destroy", "lab").returncode == 0


@pytest.mark.parametrize("moment", ["shared/token", "shared/guest.sock", "guest.sock"])
def test_docker_is_killed_while_a_vm_is_made(
    cli: Cli, docker: PrivateEngine, bell: Path, moment: str
) -> None:
    """Before its container is there, before and after its guest listens.

    A guest that has got so far that it answers is a good VM, and is not called a failed one.
    """
    making = cli.start(*CREATE, "docker")
    soon(lambda: list((cli.home / "vms").glob(f"*/{moment}")) or making.poll() is not None)
    docker.kill()
    done = ended(making)
    if done.returncode == 0:
        assert vms(cli)["lab"]["state"] == "running"
        assert counts(cli, bell)
    else:
        refused(done, 6, "does not answer")
        assert vms(cli) == {}
    docker.start()
    assert cli("vm", "prune").returncode == 0
    if done.returncode == 0:  # the engine ends what it finds running when it starts
        assert eventually(lambda: vms(cli)["lab"]["state"] in ("failed", "stopped"))
        assert cli("vm", "destroy", "lab").returncode == 0
    assert containers(docker) == []
    assert list((cli.home / "vms").glob("*")) == []
    assert cli(*CREATE, "docker").returncode == 0
    assert counts(cli, bell)
    assert cli("vm", "destroy", "lab").returncode == 0


def test_docker_is_stopped_under_a_vm(cli: Cli, docker: PrivateEngine, bell: Path) -> None:
    assert cli(*CREATE, "docker").returncode == 0
    docker.stop()
    found = vms(cli)["lab"]
    assert (found["state"], "does not answer" in found["reason"]) == ("failed", True)
    refused(cli("run", bell, "--vm", "lab"), 5, "lab is failed", "qvirt vm start lab")
    refused(cli("vm", "start", "lab"), 6, "does not answer", "systemctl start docker")
    refused(cli("vm", "destroy", "lab"), 6, "does not answer")
    assert list(vms(cli)) == ["lab"]
    docker.start()
    assert vms(cli)["lab"]["state"] in ("failed", "stopped")
    assert cli("vm", "start", "lab").returncode == 0
    assert counts(cli, bell)
    assert cli("vm", "destroy", "lab").returncode == 0


def test_a_container_that_is_restarted_or_removed_behind_our_back(
    cli: Cli, docker: PrivateEngine, bell: Path
) -> None:
    assert cli(*CREATE, "docker").returncode == 0
    api = engine_of(docker).api
    (container,) = containers(docker)
    api.restart(container)
    assert eventually(lambda: vms(cli)["lab"]["state"] == "failed")
    assert vms(cli)["lab"]["reason"]
    assert cli("vm", "start", "lab").returncode == 0
    assert counts(cli, bell)
    (container,) = containers(docker)
    api.remove_container(container, force=True)
    assert "removed by somebody else" in vms(cli)["lab"]["reason"]
    refused(cli("run", bell, "--vm", "lab"), 5, "removed by somebody else", "qvirt vm start lab")
    assert cli("vm", "start", "lab").returncode == 0
    assert counts(cli, bell)
    assert cli("vm", "destroy", "--all").returncode == 0


def test_docker_s_disk_is_full(cli: Cli, tmp_path: Path) -> None:
    lend(ImageForm.DOCKER, cli.home)
    with tempfile.TemporaryDirectory(prefix="qvirt-docker-") as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "small", folder], check=False)
        if mounted.returncode:
            pytest.skip("docker: a small disk cannot be mounted here")
        try:
            with private_docker(Path(folder)) as engine:
                cli.environment |= engine.environment
                refused(cli(*CREATE, "docker"), 7, "no space left on device", "docker system df")
                assert vms(cli) == {}
                assert containers(engine) == []
                assert list((cli.home / "vms").glob("*")) == []
        finally:
            subprocess.run(["umount", folder], check=True)


def test_an_image_that_docker_cannot_read(cli: Cli, daemon: PrivateEngine) -> None:
    cli.environment |= daemon.environment
    image = copy(ImageForm.DOCKER, cli.home)
    empty(image.archive)
    api = engine_of(daemon).api
    for each in api.images():
        api.remove_image(each["Id"], force=True)
    refused(cli(*CREATE, "docker"), 6, "docker.tar", "qvirt image build")
    refused(cli("image", "inspect", "--verify"), 5, "docker.tar is not what was built")
    assert vms(cli) == {}
    assert containers(daemon) == []


# libvirt


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[PrivateEngine]:
    """One for all tests: what it finds out about QEMU when it is first started takes it seconds."""
    with tempfile.TemporaryDirectory(prefix="qvirt-libvirt-") as folder, private_libvirt(Path(folder)) as own:
        yield own


@pytest.fixture
def libvirt(cli: Cli, libvirtd: PrivateEngine) -> PrivateEngine:
    lend(ImageForm.QEMU, cli.home)
    cli.environment |= libvirtd.environment
    return libvirtd


@pytest.mark.machines
def test_libvirt_is_killed_while_it_starts_a_domain(cli: Cli, libvirt: PrivateEngine, bell: Path) -> None:
    making = cli.start(*CREATE, "libvirt")
    soon(lambda: qemu_of(cli) or making.poll() is not None)
    libvirt.kill()
    done = ended(making)
    if done.returncode == 0:  # QEMU was so far that it did without
        assert vms(cli)["lab"]["state"] == "running"
        assert counts(cli, bell)
    else:
        refused(done, 6, "libvirt")
        assert vms(cli) == {}
    libvirt.start()
    assert cli("vm", "destroy", "--all").returncode == 0
    assert cli("vm", "prune").returncode == 0
    assert eventually(lambda: not qemu_of(cli))
    assert list((cli.home / "vms").glob("*")) == []


@pytest.mark.machines
def test_a_domain_outlives_the_daemon_that_has_started_it(
    cli: Cli, libvirt: PrivateEngine, bell: Path
) -> None:
    assert cli(*CREATE, "libvirt").returncode == 0
    libvirt.kill()
    found = vms(cli)["lab"]
    assert (found["state"], "libvirt" in found["reason"]) == ("running", True)
    assert counts(cli, bell)
    refused(cli("vm", "destroy", "lab"), 6, "qemu+unix", "--with libvirt")
    refused(cli("vm", "create", "other", "--memory", "700m", "--runtime", "libvirt"), 6, "qemu+unix")
    assert list(vms(cli)) == ["lab"]
    libvirt.start()
    assert vms(cli)["lab"]["state"] == "running"
    assert counts(cli, bell)
    assert cli("vm", "destroy", "lab").returncode == 0
    assert eventually(lambda: not qemu_of(cli))
    assert list((cli.home / "vms").glob("*")) == []


# QEMU


@pytest.fixture
def qemu(cli: Cli) -> None:
    lend(ImageForm.QEMU, cli.home)
    done = cli("vm", "prune")
    assert done.returncode == 0, done.stderr


@pytest.mark.machines
@pytest.mark.usefixtures("qemu")
def test_qemu_is_killed_while_its_guest_boots(cli: Cli) -> None:
    making = cli.start(*CREATE, "qemu", "--cold")
    soon(lambda: qemu_of(cli))
    for process in qemu_of(cli):
        process.kill()
    done = ended(making)
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []
    assert cli(*CREATE, "qemu", "--cold", "--no-wait").returncode == 0
    assert vms(cli)["lab"]["state"] == "running"
    assert cli("vm", "destroy", "lab").returncode == 0


@pytest.mark.machines
@pytest.mark.usefixtures("qemu")
def test_qemu_is_killed_while_it_becomes_a_template(cli: Cli) -> None:
    """The VM boots instead."""
    (cli.home / "warm").unlink()
    making = cli.start(*CREATE, "qemu", "--no-wait")
    killed = []
    while making.poll() is None:
        for process in qemu_of(cli):
            with suppress(psutil.Error):
                if any("qvirt-warm-" in word for word in process.cmdline()):
                    process.kill()
                    killed.append(process)
    done = ended(making)
    assert (bool(killed), done.returncode) == (True, 0), done.stderr
    limits = cli.json("vm", "inspect", "lab")["limits"]
    assert any("booted (the warm start failed" in limit for limit in limits)
    assert cli("vm", "destroy", "lab").returncode == 0
    assert list((cli.home / "vms").glob("*")) == []
    assert list((cli.home / "warm").glob("*.part")) == []


@pytest.mark.machines
@pytest.mark.parametrize("runtime", ["qemu", "libvirt"])
def test_a_disk_that_is_none(cli: Cli, runtime: str) -> None:
    """Found by the guest itself: only the size is looked at when a VM is made."""
    image = copy(ImageForm.QEMU, cli.home)
    empty(image.disk)
    done = cli(*CREATE, runtime, "--cold")
    refused(done, 6, "is no erofs file system")
    refused(cli("image", "inspect", "--verify"), 5, "disk.erofs is not what was built")
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []


def qemu_of(cli: Cli) -> list[psutil.Process]:
    """The QEMUs of this state directory."""
    return [each for each in cli.processes() if each.name().startswith("qemu-system")]


# Whatever the engine


@pytest.mark.parametrize("runtime", ["docker", "qemu", "libvirt"])
def test_without_an_image_nothing_is_made(cli: Cli, runtime: str) -> None:
    refused(cli(*CREATE, runtime), 5, "there is no image", "qvirt image build --for")
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []
