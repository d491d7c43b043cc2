"""Docker's and Podman's accounts of themselves, as recorded from the real programs (shortened)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qvirt.probe.containers import containers, read_docker, read_podman

# docker 28.2.2 without a daemon; dockerd 20.10.24 as root; its rootless variant differs in SecurityOptions.
DOCKER_DOWN = {
    "ID": "",
    "Driver": "",
    "ServerVersion": "",
    "SecurityOptions": None,
    "ClientInfo": {"Version": "28.2.2"},
}
DOCKER_UP = {
    "Driver": "overlay2",
    "ServerVersion": "20.10.24+dfsg1",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "ClientInfo": {"Version": "28.2.2"},
}
# podman 4.3.1 as root.
PODMAN = {
    "host": {"cgroupVersion": "v1", "security": {"rootless": False, "seccompEnabled": True}},
    "store": {"graphDriverName": "vfs", "runRoot": "/run/x"},
    "version": {"APIVersion": "4.3.1", "Version": "4.3.1", "GoVersion": "go1.19.8"},
}


def test_docker_that_answers() -> None:
    found = read_docker(json.dumps(DOCKER_UP), "")
    assert (found.reachable, found.version, found.storage_driver, found.rootless) == (
        True,
        "20.10.24+dfsg1",
        "overlay2",
        False,
    )


def test_rootless_docker() -> None:
    options = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}
    assert read_docker(json.dumps(DOCKER_UP | options), "").rootless is True


def test_docker_whose_daemon_is_down() -> None:
    found = read_docker(json.dumps(DOCKER_DOWN), "Cannot connect to the Docker daemon")
    assert (found.installed, found.reachable, found.version) == (True, False, "28.2.2")
    assert found.reason == "Cannot connect to the Docker daemon"


def test_podman() -> None:
    found = read_podman(json.dumps(PODMAN), "")
    assert (found.reachable, found.version, found.storage_driver, found.rootless) == (
        True,
        "4.3.1",
        "vfs",
        False,
    )
    assert read_podman("", "cannot clone: Operation not permitted").reachable is False


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo not json", "docker info gave an answer that cannot be read"),
        ("echo null", "docker info gave an answer that cannot be read"),
        ("echo 'permission denied' >&2; exit 1", "permission denied"),
    ],
)
def test_what_else_a_program_of_that_name_may_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = containers()[0]
    assert (found.installed, found.reachable, found.reason) == (True, False, reason)


def test_nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [(engine.name, engine.installed) for engine in containers()] == [
        ("docker", False),
        ("podman", False),
    ]
