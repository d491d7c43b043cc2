"""A circuit whose qubits fall into independent parts is run part by part.

The sum of small state vectors instead of their product; shots are independent, so the parts' bits are
joined shot by shot after each part's shots were put in random order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from qvirt.errors import Unsupported
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.contract import Outcome, Program

if TYPE_CHECKING:
    from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("qvirt", Method.SPLIT, Precision.SINGLE)


def part_options(options: RunOptions) -> RunOptions:
    """What is asked of each part when ``options`` are asked of the whole."""
    return replace(options, per_shot_memory=True, method=None, engine=None)


def estimate(parts: Sequence[Sequence[Estimate]], options: RunOptions, limits: Limits) -> Estimate | None:
    """The best certain candidate of every part, one after another; None where it does not apply."""
    asked = options.method in (None, Method.SPLIT) and options.engine in (None, CANDIDATE.engine)
    if len(parts) < 2 or not asked or options.observables or options.state or options.probabilities:
        return None
    best = [min((e for e in part if e.certain), key=lambda e: e.cost, default=None) for part in parts]
    chosen = [e for e in best if e is not None]
    if len(chosen) < len(best):
        return None
    return Estimate(
        CANDIDATE,
        memory=max(e.memory for e in chosen),
        seconds=sum(e.seconds for e in chosen),
        error=max(e.error for e in chosen),
        certain=True,
        reason=f"{len(parts)} independent parts, simulated one after another",
    )


@dataclass(slots=True)
class SplitProgram:
    """Runs the programs of the parts in turn."""

    programs: Sequence[Program]
    work: Workload
    done: int = 0

    @property
    def fraction(self) -> float:
        running = self.programs[self.done].fraction if self.done < len(self.programs) else None
        return (self.done + (running or 0.0)) / len(self.programs)

    def advance(self, seconds: float) -> bool:
        if self.programs[self.done].advance(seconds):
            self.done += 1
        return self.done == len(self.programs)

    def checkpoint(self) -> bytes:
        raise Unsupported("a circuit that is run in parts has no checkpoint")

    def result(self) -> Outcome:
        import numpy as np

        generator = np.random.default_rng(self.work.seed)
        columns = []
        for program in self.programs:
            memory = program.result().memory
            if memory is None:
                raise Unsupported("an engine gave no bits shot by shot")
            columns.append([memory[i] for i in generator.permutation(len(memory))])
        joined = tuple(reduce(or_, bits) for bits in zip(*columns, strict=True))
        return Outcome(Counter(joined), memory=joined if self.work.options.per_shot_memory else None)
