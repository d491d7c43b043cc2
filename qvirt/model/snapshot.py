"""A VM as it was at a moment, to be made again from: the same on every runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qvirt.model.state import KeptState
from qvirt.model.vm import VMSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class SavedJob:
    """A circuit that ran in the VM: the octets of its checkpoint, or 0 and the reason why there is none."""

    id: str
    octets: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``engine``: the runtime has saved memory and devices as well, for this VM only. ``states`` are those
    that the VM kept between jobs; they lie in files beside it."""

    name: str
    vm: str
    spec: VMSpec
    created: float
    qvirt: str
    engine: bool = False
    jobs: tuple[SavedJob, ...] = ()
    states: tuple[KeptState, ...] = ()
