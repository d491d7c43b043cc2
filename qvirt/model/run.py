"""What a user asks of one circuit, and the methods there are to answer."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from qvirt.errors import UsageError

MAX_SHOTS = 10_000_000

_STATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


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
    HALF = "half"
    BFLOAT16 = "bfloat16"
    FLOAT8 = "float8"

    @property
    def amplitude_bytes(self) -> int:
        """Of a complex number; where a block of them has a scale, without it."""
        return _AMPLITUDE_BYTES[self]

    @property
    def is_reduced(self) -> bool:
        """Amplitudes are only kept in it: it holds too little to compute in."""
        return self.amplitude_bytes < 8


_AMPLITUDE_BYTES = {
    Precision.DOUBLE: 16,
    Precision.SINGLE: 8,
    Precision.HALF: 4,
    Precision.BFLOAT16: 4,
    Precision.FLOAT8: 2,
}


Kraus = tuple[tuple[tuple[tuple[float, float], ...], ...], ...]
"""Matrices as rows of numbers, each its real and its imaginary part."""

_BOLTZMANN_OVER_PLANCK = 2.083661912e10
"""Hertz per kelvin."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise model with one rate per channel, applied after every gate on each of its qubits.

    ``depolarizing_1q`` and ``depolarizing_2q`` are the probabilities that a one- (two-) qubit gate
    is followed by the fully depolarizing channel on its qubits (Aer's ``depolarizing_error``
    parameter); gates on three and more qubits are lowered first. Then come
    ``amplitude_damping`` and ``phase_damping``, the channel parameters gamma and lambda on each qubit
    of a gate, and the relaxation of each over the time of the gate, from ``t1``, ``t2`` and the gate
    times, all in seconds. It goes to the thermal equilibrium, ``excited_population`` in state 1; or as it
    follows from ``temperature`` (kelvin) and the qubits' ``frequency`` (hertz).
    Last are ``kraus_1q`` after gates on one qubit and ``kraus_2q`` after gates on two, whose first is
    bit 0 of the matrices.
    ``readout_0to1`` and ``readout_1to0`` are the chances that a measured bit is read wrongly.
    """

    depolarizing_1q: float = 0.0
    depolarizing_2q: float = 0.0
    amplitude_damping: float = 0.0
    phase_damping: float = 0.0
    readout_0to1: float = 0.0
    readout_1to0: float = 0.0
    t1: float | None = None
    t2: float | None = None
    gate_time_1q: float = 0.0
    gate_time_2q: float = 0.0
    excited_population: float = 0.0
    temperature: float = 0.0
    frequency: float = 0.0
    kraus_1q: Kraus = ()
    kraus_2q: Kraus = ()

    def __post_init__(self) -> None:
        for name in NOISE_RATES:
            rate = getattr(self, name)
            if not 0.0 <= rate <= 1.0:
                raise UsageError(f"noise rate {name} = {rate} is not between 0 and 1")
        for name in NOISE_AMOUNTS:
            amount = getattr(self, name)
            if amount is not None and not 0.0 <= amount < math.inf:
                raise UsageError(f"noise value {name} = {amount} is not zero or above")
        self._check_relaxation()
        _check_kraus("kraus_1q", self.kraus_1q, 2)
        _check_kraus("kraus_2q", self.kraus_2q, 4)

    def _check_relaxation(self) -> None:
        if 0.0 in (self.t1, self.t2):
            raise UsageError("the noise's t1 and t2 must be above zero")
        if self.t1 is not None and self.t2 is not None and self.t2 > 2 * self.t1:
            raise UsageError(f"noise: t2 = {self.t2} is more than twice t1 = {self.t1}, which cannot be")
        timed = self.gate_time_1q or self.gate_time_2q
        if (self.t1 or self.t2) and not timed:
            raise UsageError(
                "noise with t1 or t2 needs gate times", hint="add gate_time_1q= and gate_time_2q="
            )
        if self.temperature and not self.frequency:
            raise UsageError("noise with a temperature needs the qubits' frequency", hint="frequency=5e9")

    @property
    def beyond_paulis(self) -> str | None:
        """The channel that is no mixture of Paulis, where there is one; phase damping is one."""
        if self.amplitude_damping:
            return "amplitude damping"
        if self.relaxes:
            return "relaxation"
        return "a list of Kraus matrices" if self.kraus_1q or self.kraus_2q else None

    @property
    def is_pauli(self) -> bool:
        """A stabilizer method can hold it."""
        return self.beyond_paulis is None

    @property
    def relaxes(self) -> bool:
        return self.t1 is not None or self.t2 is not None

    @property
    def population(self) -> float:
        """Of state 1 in thermal equilibrium."""
        if not self.temperature:
            return self.excited_population
        return 1.0 / (1.0 + math.exp(self.frequency / (_BOLTZMANN_OVER_PLANCK * self.temperature)))

    @property
    def on_gates(self) -> bool:
        rates = (self.depolarizing_1q, self.depolarizing_2q, self.amplitude_damping, self.phase_damping)
        return any(rates) or self.relaxes or bool(self.kraus_1q or self.kraus_2q)


NOISE_RATES = (
    "depolarizing_1q",
    "depolarizing_2q",
    "amplitude_damping",
    "phase_damping",
    "readout_0to1",
    "readout_1to0",
    "excited_population",
)
NOISE_AMOUNTS = ("t1", "t2", "gate_time_1q", "gate_time_2q", "temperature", "frequency")


def _check_kraus(name: str, kraus: Kraus, size: int) -> None:
    """Raises UsageError where the matrices are no channel."""
    if any(len(matrix) != size or any(len(row) != size for row in matrix) for matrix in kraus):
        raise UsageError(f"the noise's {name} must be {size} by {size} matrices of [real, imaginary]")
    numbers = [[[complex(*number) for number in row] for row in matrix] for matrix in kraus]
    for i in range(size if kraus else 0):
        for j in range(size):
            total = sum(matrix[k][i].conjugate() * matrix[k][j] for matrix in numbers for k in range(size))
            if not abs(total - (i == j)) < 1e-6:
                raise UsageError(
                    f"the noise's {name} is no channel: it does not keep the trace",
                    hint="the adjoint of each matrix times the matrix must add up to the identity",
                )


def check_state_name(name: str) -> None:
    """Raises UsageError for what no kept state may be called."""
    if not _STATE_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the name of a state", hint="use letters, digits, '.', '_' and '-', up to 63"
        )


DEVICES = ("cpu", "gpu", "cuda", "mps")
"""What a run may be held to: ``gpu`` is any that is not the CPU."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything that may be asked of one run; a field left None is chosen by qvirt.

    ``observables`` are Pauli strings or sums in Qiskit's order (the rightmost letter is qubit 0):
    ``"ZZI"``, ``"0.5*ZZ - 1.2*XI"``. ``device`` is one of ``DEVICES``. ``memory_limit`` is bytes,
    ``time_limit`` seconds. ``start`` names the state of the VM that the circuit begins in, ``keep`` what its
    own state before the last measurements is kept as there; ``overwrite`` lets that take the place of one of
    the same name.
    """

    shots: int = 1024
    seed: int | None = None
    engine: str | None = None
    method: Method | None = None
    precision: Precision | None = None
    device: str | None = None
    observables: tuple[str, ...] = ()
    noise: Noise | None = None
    per_shot_memory: bool = False
    probabilities: bool = False
    state: bool = False
    memory_limit: int | None = None
    time_limit: float | None = None
    start: str | None = None
    keep: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.shots <= MAX_SHOTS:
            raise UsageError(
                f"shots must be between 1 and {MAX_SHOTS:,}, not {self.shots}",
                hint="for example --shots 1024",
            )
        if self.device not in (None, *DEVICES):
            raise UsageError(f"there is no device {self.device!r}", hint=f"devices are: {', '.join(DEVICES)}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be between 0 and 2^63 - 1, not {self.seed}")
        for name in ("memory_limit", "time_limit"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < float("inf"):
                raise UsageError(f"{name} must be above zero, not {limit}")
        for state in (self.start, self.keep):
            if state is not None:
                check_state_name(state)
        if self.noise is not None and (self.state or self.keep):
            raise UsageError(
                "a state vector cannot be given for a noisy run", hint="ask for observables instead"
            )


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU on which a kernel has given the right answer, as the trial measured it.

    ``name`` is torch's, ``memory`` the bytes that were free there and ``bandwidth`` those that a copy moves
    in a second. ``launch`` is the seconds of a small operation, ``startup`` those of a process's first use,
    ``host_memory`` what that leaves resident in the process. ``triton``: the engine's own kernels run on it.
    """

    name: str
    memory: int
    bandwidth: float
    launch: float
    startup: float
    host_memory: int
    triton: bool

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use: bytes of memory for the simulation itself, threads, and GPUs.

    ``seconds`` is the budget of one attempt, so that an engine that sees early that it will take
    longer can give up at once; None where there is none. ``slowdown`` is how many times as long as on
    real hardware everything takes.
    """

    memory: int
    threads: int
    seconds: float | None = None
    slowdown: float = 1.0
    devices: tuple[Device, ...] = ()

    def device(self, name: str | None) -> Device | None:
        """The GPU of that name, where the run may use it."""
        return next((device for device in self.devices if device.name == name), None)
