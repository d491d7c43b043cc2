"""What every runtime can do: give a guest a machine to live in.

Obligations, all tested by the conformance suite: every call is idempotent; ``create`` on a VM that
exists returns its handle; ``destroy`` of something missing succeeds; a runtime keeps nothing in
memory (after a crash ``inspect(handle)`` works from the stored handle alone); everything it makes
carries the VM's id, so that ``leftovers`` finds it; a missing library or engine makes ``probe`` say
why, never an ImportError.

What only some can do stands in the protocols at the end. Callers ask ``capabilities`` and never
compare names; a power that is named there has its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from qvirt.model.vm import VM, Endpoint, Handle, ImageForm, Power, VMSpec, VMState


@dataclass(frozen=True, slots=True)
class Availability:
    available: bool
    reason: str
    """Why not; or, where it is available, what it will use and which limits it can hold."""
    hint: str | None = None
    """The command that mends it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``powers`` are what it can do beside the required; ``lacking`` says why it cannot do the others.

    ``image`` is what it needs of the guest image, None where the guest is this installation of qvirt.
    ``slowdown`` is how many times slower than here a simulation is expected to be.
    """

    powers: frozenset[Power]
    lacking: Mapping[Power, str]
    image: ImageForm | None = None
    slowdown: float = 1.0


@dataclass(frozen=True, slots=True)
class Inspection:
    """``limits`` names each limit that holds and by what means (``memory: cgroup v2``)."""

    state: VMState
    pid: int | None = None
    reason: str | None = None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Memory in bytes (proportional set size where the system tells it), CPU seconds used so far."""

    memory: int
    cpu_seconds: float
    processes: int


class Runtime(Protocol):
    @property
    def name(self) -> str: ...

    def probe(self) -> Availability: ...

    def capabilities(self) -> Capabilities: ...

    def create(self, vm: VM) -> Handle:
        """Make the machine, not yet running. Raises Unavailable or VMFailed.

        One whose ``owner`` is set is to end with that process, where the runtime can see to it.
        """

    def start(self, handle: Handle) -> Handle:
        """Start the guest; returns at once, the handle perhaps with more in it. The guest answers later."""

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        """Ask the guest to end, then end it. What it made stays until ``destroy``."""

    def destroy(self, handle: Handle) -> None:
        """Stop it and remove everything that ``create`` and ``start`` made."""

    def inspect(self, handle: Handle) -> Inspection: ...

    def endpoint(self, handle: Handle) -> Endpoint: ...

    def logs(self, handle: Handle) -> str: ...

    def stats(self, handle: Handle) -> Stats: ...

    def leftovers(self) -> Mapping[str, Handle]:
        """By VM id, the handles of all VMs of this state directory that the engine still has."""


@runtime_checkable
class Pausable(Protocol):
    def pause(self, handle: Handle) -> None: ...

    def resume(self, handle: Handle) -> None: ...


@runtime_checkable
class Snapshotting(Protocol):
    """The engine's own snapshots: memory and devices, of the same machine only."""

    def snapshot(self, handle: Handle, name: str) -> None: ...

    def restore(self, handle: Handle, name: str) -> None: ...

    def snapshots(self, handle: Handle) -> Sequence[str]: ...

    def remove_snapshot(self, handle: Handle, name: str) -> None: ...


@runtime_checkable
class Resizable(Protocol):
    def resize(self, handle: Handle, spec: VMSpec) -> Handle:
        """New memory and CPUs, whether it runs or not; the guest is told by whoever calls this."""


@runtime_checkable
class Executing(Protocol):
    def execute(self, handle: Handle, command: Sequence[str]) -> Executed:
        """Run a command in the machine of a running guest and wait for its end."""


@runtime_checkable
class KeepingWarm(Protocol):
    """Its VMs can be up before anybody wants them."""

    def dedicate(self, handle: Handle, vm: VM) -> None:
        """The one of ``handle`` is ``vm`` from now on, which differs in nothing that its machine was made
        with; its guest is told by whoever calls this."""


@runtime_checkable
class Templating(Protocol):
    """Its VMs are copies of memory templates, which are made when they are first needed."""

    def prepare(self, handle: Handle, tell: Callable[[str], None]) -> None:
        """Make what ``start`` will copy, where it is not there yet; ``tell`` hears of what takes long."""

    def remove_templates(self, everything: bool) -> list[str]:
        """Those that nothing can be a copy of any more, or all; what was removed, in words."""


@runtime_checkable
class HavingConsole(Protocol):
    def console(self, handle: Handle) -> Path:
        """The Unix socket of the machine's serial console."""


@dataclass(frozen=True, slots=True)
class Executed:
    status: int
    output: bytes
    errors: bytes = field(default=b"")
