"""What every runtime can do: give a guest a machine to live in.

Obligations, all tested by the conformance suite: every call is idempotent; ``create`` on a VM that
exists returns its handle; ``destroy`` of something missing succeeds; a runtime keeps nothing in
memory (after a crash ``inspect(handle)`` works from the stored handle alone); everything it makes
carries the VM's id; a missing library or engine makes ``probe`` say why, never an ImportError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qvirt.model.vm import VM, Endpoint, Handle, VMState


@dataclass(frozen=True, slots=True)
class Availability:
    available: bool
    reason: str
    """Why not; or, where it is available, what it will use and which limits it can hold."""


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

    def create(self, vm: VM) -> Handle:
        """Make the machine, not yet running. Raises Unavailable or VMFailed."""

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
