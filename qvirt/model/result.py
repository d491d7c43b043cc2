"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from qvirt.model.estimate import Candidate
from qvirt.model.state import KeptState


@dataclass(frozen=True, slots=True)
class Expectation:
    """The mean of one observable; ``standard_error`` is 0 where it was computed and not sampled."""

    observable: str
    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class StateFile:
    """A state vector kept as an .npy file: little-endian, complex128, ``amplitudes`` long."""

    amplitudes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try at a circuit; ``outcome`` is ``done``, ``over_budget``, ``lost_race`` or ``failed``."""

    candidate: Candidate
    seconds: float
    outcome: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of wall time: reading the circuit, choosing, simulating, and all from arrival to answer."""

    parse: float
    plan: float
    simulate: float
    total: float


@dataclass(frozen=True, slots=True)
class Row:
    """What one set of parameters gave."""

    parameters: dict[str, float]
    counts: dict[str, int]
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Counts are keyed as Qiskit's: clbit 0 rightmost, registers apart by a space, the last one first.

    Where the circuit was run for many sets of parameters, they and the expectations are in ``rows``.
    ``kept`` is what the VM has kept of it for later jobs.
    """

    shots: int
    seed: int
    counts: dict[str, int]
    candidate: Candidate
    threads: int
    num_qubits: int
    num_clbits: int
    measured_all_added: bool
    timings: Timings
    peak_memory: int
    attempts: tuple[AttemptRecord, ...]
    memory: tuple[str, ...] | None = None
    probabilities: dict[str, float] | None = None
    expectations: tuple[Expectation, ...] = ()
    state: StateFile | None = None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, str | int | float] = field(default_factory=dict)
    rows: tuple[Row, ...] | None = None
    kept: KeptState | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where in its circuit an engine stands; None where it does not count that."""

    operations_done: int | None = None
    operations: int | None = None
    shots_done: int | None = None
    shots: int | None = None
    rows_done: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running circuit is; None where the engine cannot say."""

    phase: str
    fraction: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    position: Position | None = None
