"""What a user asks of one circuit, and the methods there are to answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qvirt.errors import UsageError

MAX_SHOTS = 10_000_000


class Method(str, Enum):
    PRODUCT = "product"
    STABILIZER = "stabilizer"
    EXTENDED_STABILIZER = "extended_stabilizer"
    STATEVECTOR = "statevector"
    DENSITY_MATRIX = "density_matrix"
    MPS = "matrix_product_state"
    DECISION_DIAGRAM = "decision_diagram"
    SPLIT = "split"


class Precision(str, Enum):
    SINGLE = "single"
    DOUBLE = "double"

    @property
    def amplitude_bytes(self) -> int:
        return 8 if self is Precision.SINGLE else 16


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise model with one rate per channel, applied after every gate on each of its qubits.

    ``depolarizing_1q`` and ``depolarizing_2q`` are the probabilities that a one- (two-) qubit gate
    is followed by the fully depolarizing channel on its qubits (Aer's ``depolarizing_error``
    parameter); gates on three and more qubits are lowered first. Then come
    ``amplitude_damping`` and ``phase_damping``, the channel parameters gamma and lambda on each qubit
    of a gate.
    ``readout_0to1`` and ``readout_1to0`` are the chances that a measured bit is read wrongly.
    """

    depolarizing_1q: float = 0.0
    depolarizing_2q: float = 0.0
    amplitude_damping: float = 0.0
    phase_damping: float = 0.0
    readout_0to1: float = 0.0
    readout_1to0: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            rate = getattr(self, name)
            if not 0.0 <= rate <= 1.0:
                raise UsageError(f"noise rate {name} = {rate} is not between 0 and 1")

    @property
    def is_pauli(self) -> bool:
        """Every channel is a mixture of Paulis (phase damping is one), so a stabilizer method can hold it."""
        return self.amplitude_damping == 0.0

    @property
    def on_gates(self) -> bool:
        return any((self.depolarizing_1q, self.depolarizing_2q, self.amplitude_damping, self.phase_damping))


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything that may be asked of one run; a field left None is chosen by qvirt.

    ``observables`` are Pauli strings or sums in Qiskit's order (the rightmost letter is qubit 0):
    ``"ZZI"``, ``"0.5*ZZ - 1.2*XI"``. ``memory_limit`` is bytes, ``time_limit`` seconds.
    """

    shots: int = 1024
    seed: int | None = None
    engine: str | None = None
    method: Method | None = None
    precision: Precision | None = None
    observables: tuple[str, ...] = ()
    noise: Noise | None = None
    per_shot_memory: bool = False
    probabilities: bool = False
    state: bool = False
    memory_limit: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.shots <= MAX_SHOTS:
            raise UsageError(
                f"shots must be between 1 and {MAX_SHOTS:,}, not {self.shots}",
                hint="for example --shots 1024",
            )
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be between 0 and 2^63 - 1, not {self.seed}")
        for name in ("memory_limit", "time_limit"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < float("inf"):
                raise UsageError(f"{name} must be above zero, not {limit}")
        if self.noise is not None and self.state:
            raise UsageError(
                "a state vector cannot be given for a noisy run", hint="ask for observables instead"
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use: bytes of memory for the simulation itself, and threads.

    ``seconds`` is the budget of one attempt, so that an engine that sees early that it will take
    longer can give up at once; None where there is none.
    """

    memory: int
    threads: int
    seconds: float | None = None
