"""A quantum virtual machine: what was asked for, and what is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from qvirt.errors import UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class VMState(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class VMSpec:
    """What a VM is made to be. ``memory`` is bytes for everything in it; ``spares`` are warm workers kept."""

    name: str
    runtime: str = "process"
    memory: int = 4 << 30
    cpus: int = 1
    spares: int = 1
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is not a VM name",
                hint="use up to 63 lower-case letters, digits, '.', '_' and '-', a letter or digit first",
            )
        if self.cpus < 1:
            raise UsageError(f"a VM needs at least one CPU, not {self.cpus}")
        if self.memory < 256 << 20:
            raise UsageError(f"a VM needs at least 256 MiB of memory, not {self.memory} bytes")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a guest listens: a Unix socket, or a URL on loopback; with its bearer token."""

    token: str
    socket: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Handle:
    """What a runtime needs to find its VM again: opaque to everybody else, versioned by the runtime."""

    runtime: str
    version: int
    vm: str
    data: dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class VM:
    """``owner`` names the qvirt process that the VM lives with (pid and start time)."""

    id: str
    spec: VMSpec
    state: VMState
    created: float
    handle: Handle | None = None
    owner: str | None = None
    reason: str | None = None
