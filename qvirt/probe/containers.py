"""Docker and Podman: installed, answering, and how they store and isolate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from qvirt.model.hardware import ContainerEngine
from qvirt.probe.command import run

_LIMIT = 5.0
_Reader = Callable[[str, str], ContainerEngine]


def containers() -> tuple[ContainerEngine, ...]:
    return tuple(_ask(name, reader) for name, reader in (("docker", read_docker), ("podman", read_podman)))


def _ask(name: str, reader: _Reader) -> ContainerEngine:
    if shutil.which(name) is None:
        return ContainerEngine(name, False, False, None, None, None, f"{name} is not installed")
    answer = run([name, "info", "--format", "{{json .}}"], _LIMIT)
    try:
        return reader(answer.out, answer.reason or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = answer.reason or f"{name} info gave an answer that cannot be read"
        return ContainerEngine(name, True, False, None, None, None, reason)


def read_docker(out: str, reason: str) -> ContainerEngine:
    """``docker info --format '{{json .}}'``: it also prints when the daemon does not answer."""
    info: dict[str, Any] = json.loads(out)
    version = info.get("ServerVersion") or None
    if version is None:
        client = (info.get("ClientInfo") or {}).get("Version")
        return ContainerEngine(
            "docker", True, False, client, None, None, reason or "the daemon does not answer"
        )
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    return ContainerEngine("docker", True, True, version, info.get("Driver") or None, rootless, None)


def read_podman(out: str, reason: str) -> ContainerEngine:
    """``podman info --format '{{json .}}'``."""
    if reason:
        return ContainerEngine("podman", True, False, None, None, None, reason)
    info: dict[str, Any] = json.loads(out)
    rootless = bool(info["host"]["security"]["rootless"])
    driver = info["store"]["graphDriverName"]
    return ContainerEngine("podman", True, True, info["version"]["Version"], driver, rootless, None)
