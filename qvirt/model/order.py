"""What is posted to a guest, and what a guest says of it: the schema of its HTTP interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from qvirt.errors import ErrorInfo
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Plan
from qvirt.model.job import JobState
from qvirt.model.result import Progress, Result
from qvirt.model.run import RunOptions
from qvirt.model.sweep import Sweep


class OrderKind(str, Enum):
    RUN = "run"
    PLAN = "plan"
    DRAW = "draw"
    CALIBRATE = "calibrate"


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work for a guest; ``id`` is the job's, so that the same order sent twice is one job.

    ``source`` is needed by all kinds but ``calibrate``. ``columns`` is the width of a drawing. ``resume``
    names a checkpoint that was given to the guest before: the run goes on from there. ``sweep`` has the
    values of a circuit's free parameters: it is run or planned once for each of its rows.
    """

    id: str
    kind: OrderKind = OrderKind.RUN
    source: CircuitSource | None = None
    options: RunOptions = field(default_factory=RunOptions)
    columns: int = 100
    resume: str | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True, slots=True)
class OrderStatus:
    id: str
    kind: OrderKind
    state: JobState
    progress: Progress
    plan: Plan | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The fruit of a completed order; which field is set follows from its kind."""

    result: Result | None = None
    plan: Plan | None = None
    drawing: str | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class MachineSize:
    """What a resized VM has from now on: ``memory`` in bytes, for everything in it."""

    memory: int
    cpus: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a guest that runs already, or a copy of one, a VM of its own.

    ``token`` is the bearer token from now on; ``ttl`` and ``idle_stop`` are the seconds from now after
    which it ends, and those without work, None for ever. Only a machine that was copied is told the
    others: ``time`` is the seconds since the epoch now, ``entropy`` is mixed into the kernel's random
    numbers.
    """

    token: str
    time: float | None = None
    entropy: bytes | None = None
    hostname: str | None = None
    ttl: float | None = None
    idle_stop: float | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A simulator that the registry knows; ``version`` is None where it is not installed.

    ``problem`` is why one that others have installed cannot be loaded.
    """

    name: str
    version: str | None
    methods: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a guest can do: ``memory`` bytes and ``cpus`` for all in it, ``queue`` orders waiting."""

    qvirt: str
    engines: tuple[EngineInfo, ...]
    memory: int
    cpus: int
    queue: int
    largest_body: int
