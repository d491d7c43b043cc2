"""A quantum virtual machine: what was asked for, and what is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum

from qvirt.errors import UsageError
from qvirt.model.run import Method, Noise, Precision, RunOptions
from qvirt.units import show_bytes

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

RESTART = re.compile(r"no|always|on-failure:[1-9][0-9]{0,3}")


LAST_WORDS = "qvirt.guest has ended: "
"""What a guest prints, with the reason, before it ends by itself; the runtimes look for it in the log."""


class VMState(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


class Power(str, Enum):
    """What a runtime may be able to do beside what every runtime can."""

    PAUSE = "pause"
    SNAPSHOT = "snapshot"
    CLONE = "clone"
    RESIZE = "resize"
    EXEC = "exec"
    CONSOLE = "console"
    GPU = "gpu"
    WARM = "keep warm"


class ImageForm(str, Enum):
    """What the guest's root file system is made into."""

    DOCKER = "docker"
    QEMU = "qemu"


@dataclass(frozen=True, slots=True)
class VMSpec:
    """What a VM is made to be.

    ``memory`` is bytes for everything in it, ``disk`` bytes that it may write; ``spares`` are warm workers
    kept; ``ttl`` is the seconds after its creation at which it is destroyed, ``idle_stop`` those without
    work after which it stops. ``qubits``, ``method`` and ``precision`` are what its memory was reckoned
    for; they and ``noise`` are what a run in it uses where it asks for nothing else. ``volumes`` are
    ``HOST_FOLDER:GUEST_FOLDER``, read-only.
    """

    name: str
    runtime: str = "process"
    memory: int = 4 << 30
    cpus: int = 1
    spares: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    qubits: int | None = None
    method: Method | None = None
    precision: Precision | None = None
    noise: Noise | None = None
    gpu: bool = False
    image: str | None = None
    template: str | None = None
    volumes: tuple[str, ...] = ()
    disk: int = 64 << 20
    pids: int = 256
    ttl: float | None = None
    idle_stop: float | None = None
    restart: str = "no"
    warm: bool = True

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is not a VM name",
                hint="use up to 63 lower-case letters, digits, '.', '_' and '-', a letter or digit first",
            )
        if self.cpus < 1:
            raise UsageError(f"a VM needs at least one CPU, not {self.cpus}")
        if self.memory < 256 << 20:
            raise UsageError(f"a VM needs at least 256 MiB of memory, not {show_bytes(self.memory)}")
        for name in self.environment:
            if not VARIABLE.fullmatch(name):
                raise UsageError(f"{name!r} is not the name of an environment variable")
        if not RESTART.fullmatch(self.restart):
            raise UsageError(
                f"{self.restart!r} is no restart policy", hint="there are no, always and on-failure:N"
            )

    def applied_to(self, options: RunOptions) -> RunOptions:
        """What is run where nothing else was asked for; an engine that was named stands alone."""
        if options.engine is not None:
            return replace(options, noise=options.noise or self.noise)
        return replace(
            options,
            method=options.method or self.method,
            precision=options.precision or self.precision,
            noise=options.noise or self.noise,
        )

    def restarts_after(self, restarts: int, *, failed: bool) -> bool:
        """Whether one that has ended, and was restarted so often, is to be started again."""
        policy, _, most = self.restart.partition(":")
        return policy == "always" or (policy == "on-failure" and failed and restarts < int(most))


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
    """``owner`` names the qvirt process that the VM lives with (pid and start time); None: it stays.

    ``restarts`` counts those that its restart policy has made. ``pool`` is the key of the warm pool where
    it waits for somebody to want it; None: it is somebody's.
    """

    id: str
    spec: VMSpec
    state: VMState
    created: float
    handle: Handle | None = None
    owner: str | None = None
    reason: str | None = None
    restarts: int = 0
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class WarmPool:
    """So many VMs like ``spec`` are kept up, with their engines loaded, for whoever wants one."""

    spec: VMSpec
    count: int
