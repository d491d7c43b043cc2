"""What a run would cost, and the order in which it is tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qvirt.errors import ErrorInfo
from qvirt.model.circuit import CircuitFacts
from qvirt.model.run import Method, Precision


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to simulate a circuit; ``device`` is torch's name of a GPU (cuda:0, mps), None for the CPU."""

    engine: str
    method: Method
    precision: Precision
    device: str | None = None

    @property
    def device_kind(self) -> str:
        """cpu, cuda or mps."""
        return (self.device or "cpu").partition(":")[0]

    def __str__(self) -> str:
        on = f" on {self.device}" if self.device else ""
        return f"{self.engine} {self.method.value} ({self.precision.value}){on}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one candidate: ``memory`` in bytes, ``seconds`` of wall time. ``device_memory`` is what it
    takes of its GPU, of which ``memory``, the host's, has nothing.

    ``error`` is a factor: the true time lies between seconds / error and seconds * error nine times
    in ten. Where ``certain`` is false no prediction can be trusted (the method's cost depends on what
    the state turns out to be): ``seconds`` is then the least that it can take, and ``memory`` what it
    may take.
    """

    candidate: Candidate
    memory: int
    seconds: float
    error: float
    certain: bool
    reason: str
    device_memory: int = 0

    @property
    def cost(self) -> float:
        """What estimates are compared by: of two of about the same time the surer one is the better."""
        return self.seconds * math.sqrt(self.error)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that cannot be used, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Candidates tried side by side, each with ``threads``; ``budget`` seconds, then the next stage.

    ``in_turns``: one process works a little on each, one after another, until one is done. The last
    stage of a plan has no budget of its own where its candidate is sure to end. Beyond the budget they are
    waited for as long as a kill would cost: ``reload`` seconds, in which another worker loads the engine of
    the next stage.
    """

    attempts: tuple[Estimate, ...]
    threads: int
    budget: float | None
    in_turns: bool = False
    reload: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The choice for one circuit: what is tried in which order, what else could be, and why.

    No stages means that the circuit was refused; ``refusal`` then holds the numbers and the nearest
    thing that would fit, or says that no engine can do what is asked.
    """

    facts: CircuitFacts
    stages: tuple[Stage, ...]
    runners_up: tuple[Estimate, ...]
    rejected: tuple[Rejection, ...]
    memory_limit: int
    threads: int
    reason: str
    refusal: ErrorInfo | None
