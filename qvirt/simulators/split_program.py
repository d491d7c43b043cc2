"""Runs the independent parts of a circuit one after another.

Shots are independent, so each part's shots are put in random order, and the parts' bits are joined shot by
shot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qvirt.errors import Unsupported
from qvirt.model.result import Position
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.contract import Outcome, Program
from qvirt.simulators.sampling import Readings

if TYPE_CHECKING:
    from qvirt.simulators.workload import Workload


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a circuit, what it is run with, and which of the whole circuit's clbits its own are;
    ``prepare`` takes its checkpoint, or None."""

    candidate: str
    gates: int
    clbits: tuple[int, ...]
    prepare: Callable[[Checkpoint | None], Program]


class SplitProgram:
    """Keeps of the parts that are done the bits of each shot, joined."""

    def __init__(self, work: Workload, parts: Sequence[Part], checkpoint: Checkpoint | None = None) -> None:
        self._work = work
        self._parts = parts
        self._done = 0
        self._rows = np.zeros((work.options.shots, max(1, (work.facts.num_clbits + 7) // 8)), np.uint8)
        self._generator = np.random.default_rng(work.seed)
        self._running: Program | None = None
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def fraction(self) -> float:
        running = self._running.fraction if self._running else None
        return (self._done + (running or 0.0)) / len(self._parts)

    @property
    def position(self) -> Position:
        done = sum(part.gates for part in self._parts[: self._done])
        if self._running is not None:
            done += int((self._running.fraction or 0.0) * self._parts[self._done].gates)
        return Position(done, sum(part.gates for part in self._parts))

    def advance(self, seconds: float) -> bool:
        if self._running is None:
            self._running = self._parts[self._done].prepare(None)
        if self._running.advance(seconds):
            memory = self._running.result().memory
            if memory is None:
                raise Unsupported("an engine gave no bits shot by shot")
            self._join(memory, self._parts[self._done].clbits)
            self._done += 1
            self._running = None
        return self._done == len(self._parts)

    def checkpoint(self) -> Checkpoint:
        """A part whose engine has no checkpoint is begun anew."""
        running = None
        if self._running is not None:
            with suppress(Unsupported):
                running = self._running.checkpoint()
        header = {
            "candidates": [part.candidate for part in self._parts],
            "done": self._done,
            "running": running and running.header,
        }
        return Checkpoint(header, chain(pieces(self._rows), running.chunks if running else ()))

    def result(self) -> Outcome:
        joined = Readings(self._rows)
        memory = joined.memory() if self._work.options.per_shot_memory else None
        return Outcome(joined.counts(), memory=memory)

    def _restore(self, checkpoint: Checkpoint) -> None:
        header, chunks = checkpoint.header, iter(checkpoint.chunks)
        self._done = header["done"]
        for _ in range(self._done):
            self._order()
        fill(chunks, self._rows)
        if header["running"] is not None:
            self._running = self._parts[self._done].prepare(Checkpoint(header["running"], chunks))

    def _join(self, memory: Sequence[int], clbits: Sequence[int]) -> None:
        octets = (len(clbits) + 7) // 8
        read = np.frombuffer(b"".join(each.to_bytes(octets, "little") for each in memory), np.uint8)
        read = read.reshape(-1, octets)[self._order()]
        seen = np.unpackbits(np.bitwise_or.reduce(read, axis=0), bitorder="little")
        for bit in np.flatnonzero(seen).tolist():
            column = read[:, bit >> 3] >> (bit & 7) & 1
            self._rows[:, clbits[bit] >> 3] |= column << (clbits[bit] & 7)

    def _order(self) -> NDArray[np.int64]:
        return self._generator.permutation(len(self._rows))
