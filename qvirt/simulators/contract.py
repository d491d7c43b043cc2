"""What every engine can do for qvirt: the contract that the conformance suite holds them to.

An engine is one module with one ``Simulator``, named in the registry or by an entry point of the
group ``qvirt.simulators``. It rejects first (``supports``), says what it would cost (``estimate``),
and only then makes a ``Program``, which runs without further checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Device, Limits, Method, RunOptions
from qvirt.simulators.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qvirt.simulators.workload import Workload

Constants = Mapping[str, float]
"""Seconds per unit of each feature of a candidate (see ``Simulator.features``)."""


def predicted(features: Mapping[str, float], constants: Constants) -> float:
    """Seconds of wall time."""
    return sum(constants.get(name, 0.0) * amount for name, amount in features.items())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program found. A bit string is an integer whose bit i is clbit i.

    ``memory`` holds one bit string a shot, in the order of the shots; ``probabilities`` the exact
    chances of the measured bit strings; ``state`` 2**n complex128 amplitudes, little-endian, taken
    before the final measurements. Only what the options asked for is set, counts always.
    ``metadata`` and ``warnings`` are what the engine has to say of how it came to them. Of a sweep only
    ``rows`` is set, to one outcome for each set of parameters.
    """

    counts: Mapping[int, int]
    memory: tuple[int, ...] | None = None
    probabilities: Mapping[int, float] | None = None
    expectations: tuple[Expectation, ...] = ()
    state: NDArray[np.complex128] | None = None
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    rows: tuple[Outcome, ...] = ()


class Program(Protocol):
    """One circuit, prepared to run once."""

    @property
    def fraction(self) -> float | None:
        """How much is done, 0 to 1; None where the engine cannot say."""

    @property
    def position(self) -> Position | None:
        """The operations and shots that are done, of how many; None where the engine counts neither."""

    def advance(self, seconds: float) -> bool:
        """Work for about ``seconds`` (an engine that cannot pause works to the end); True when done."""

    def checkpoint(self) -> Checkpoint:
        """All that ``prepare`` needs to go on from here to the same counts: the state, the position, the
        bits read, the state of the generator. Asked for between two calls of ``advance``.

        Raises Unsupported where the engine has none.
        """

    def result(self) -> Outcome:
        """What was found; only once ``advance`` has said True."""


class Simulator(Protocol):
    """One engine. It keeps no state between calls; importing its module must not import the engine."""

    @property
    def name(self) -> str: ...

    @property
    def stops_by_itself(self) -> frozenset[Method]:
        """Methods whose programs, given a budget (``Limits.seconds``), come back from ``advance`` in about
        the time given and give up early; others only a kill stops."""

    def version(self) -> str | None:
        """The engine's version, or None where it is not installed (found without importing it)."""

    def candidates(self) -> tuple[Candidate, ...]:
        """Every method and precision that the engine has."""

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        """Why the candidate cannot give what is asked, in words for the user; None where it can."""

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        """The amounts of work that the time is a sum of, each times one fitted constant."""

    def constants(self, candidate: Candidate) -> Constants:
        """Constants to use on a machine that was not calibrated."""

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        """Memory (never below the truth where ``certain``) and time."""

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> Program:
        """Make ``work`` ready to run with at most ``limits``; loads the engine.

        ``checkpoint`` is of the same work by the same candidate and version of the engine: that was
        checked. All of its chunks are read here, and not a second time.
        """


@runtime_checkable
class StartsFrom(Protocol):
    """A simulator that can begin in ``Workload.start`` and not in |0...0>."""

    @property
    def starts_from(self) -> frozenset[Method]:
        """The methods that can."""


@runtime_checkable
class LoadsLate(Protocol):
    """A simulator that takes so long to load that it is loaded only for use; its estimates say so."""

    @property
    def load_seconds(self) -> float: ...


@runtime_checkable
class UsesDevices(Protocol):
    """A simulator whose candidates can also run on a GPU: the same with their ``device`` set."""

    def device_constants(self, candidate: Candidate, device: Device) -> Constants:
        """``Simulator.constants`` for a candidate on it."""


@runtime_checkable
class Sweeps(Protocol):
    """A simulator that runs a circuit with free parameters for many sets of them, compiled once."""

    def sweeps(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
        """Whether it does so here; else each set is a run of its own."""

    def estimate_sweep(
        self, candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits, rows: int
    ) -> Estimate:
        """Of all rows together."""

    def prepare_sweep(self, candidate: Candidate, work: Workload, limits: Limits) -> Program:
        """``work`` has the parameter sets; its circuit has the parameters."""
