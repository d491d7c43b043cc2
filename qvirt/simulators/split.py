"""A circuit whose qubits fall into independent parts is run part by part.

The sum of small state vectors instead of their product; shots are independent, so the parts' bits are
joined shot by shot after each part's shots were put in random order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from operator import or_
from typing import TYPE_CHECKING

from qvirt.errors import Unsupported
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Position
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
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


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a circuit, and what it is run with; ``prepare`` takes its checkpoint, or None."""

    candidate: str
    gates: int
    prepare: Callable[[Checkpoint | None], Program]


class SplitProgram:
    """Runs the parts in turn, and keeps of those that are done the bits of each shot."""

    def __init__(self, work: Workload, parts: Sequence[Part], checkpoint: Checkpoint | None = None) -> None:
        self._work = work
        self._parts = parts
        self._memories: list[tuple[int, ...]] = []
        self._running: Program | None = None
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def fraction(self) -> float:
        running = self._running.fraction if self._running else None
        return (len(self._memories) + (running or 0.0)) / len(self._parts)

    @property
    def position(self) -> Position:
        done = sum(part.gates for part in self._parts[: len(self._memories)])
        if self._running is not None:
            done += int((self._running.fraction or 0.0) * self._parts[len(self._memories)].gates)
        return Position(done, sum(part.gates for part in self._parts))

    def advance(self, seconds: float) -> bool:
        if self._running is None:
            self._running = self._parts[len(self._memories)].prepare(None)
        if self._running.advance(seconds):
            memory = self._running.result().memory
            if memory is None:
                raise Unsupported("an engine gave no bits shot by shot")
            self._memories.append(memory)
            self._running = None
        return len(self._memories) == len(self._parts)

    def checkpoint(self) -> Checkpoint:
        """A part whose engine has no checkpoint is begun anew."""
        running = None
        if self._running is not None:
            with suppress(Unsupported):
                running = self._running.checkpoint()
        read = json.dumps(self._memories).encode()
        header = {
            "candidates": [part.candidate for part in self._parts],
            "octets": len(read),
            "running": running and running.header,
        }
        return Checkpoint(header, chain(pieces(read), running.chunks if running else ()))

    def _restore(self, checkpoint: Checkpoint) -> None:
        header, chunks = checkpoint.header, iter(checkpoint.chunks)
        read = bytearray(header["octets"])
        fill(chunks, read)
        self._memories = [tuple(memory) for memory in json.loads(read)]
        if header["running"] is not None:
            part = self._parts[len(self._memories)]
            self._running = part.prepare(Checkpoint(header["running"], chunks))

    def result(self) -> Outcome:
        import numpy as np

        generator = np.random.default_rng(self._work.seed)
        columns = [[memory[i] for i in generator.permutation(len(memory))] for memory in self._memories]
        joined = tuple(reduce(or_, bits) for bits in zip(*columns, strict=True))
        return Outcome(Counter(joined), memory=joined if self._work.options.per_shot_memory else None)
