"""Which steps are done together while a block of the amplitudes is in the cache, and in what order of qubits.

A sweep takes the amplitudes block by block: all that differ in the sweep's *local* bits, gathered into a
contiguous buffer, where everything that fits those bits is done before it goes back to where it came from
(cache blocking: Doi and Horii, Cache Blocking Technique to Large Scale Quantum Computing Simulation on
Supercomputers, 2020). Qubits are never moved back into order: where each one is now is written down
instead, and the next gathering takes them from there. Within a block a matrix is applied to qubits that
stand next to one another, so that it is one matrix product; blocks on different qubits of a stage get
their places by one move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qvirt.simulators.torch_statevector.blocks import MOST_STEPS
from qvirt.simulators.torch_statevector.fusion import Phase, Step
from qvirt.simulators.torch_statevector.operations import LARGEST_MATRIX, Diagonal
from qvirt.simulators.torch_statevector.stages import Stage, stages, touched

_RUN_BITS = 6
"""Low bits of the state that are always local, so that gathering reads memory in runs."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """``local``: the state's bit positions that a block holds, ascending; ``order`` the qubits there.

    What the last stage leaves at block position i goes to ``local[i]``. ``outer`` are the qubits at the other
    positions, ascending.
    """

    local: tuple[int, ...]
    order: tuple[int, ...]
    outer: tuple[int, ...]
    stages: tuple[Stage, ...]


def sweeps(steps: Sequence[Step], num_qubits: int, block_bits: int) -> tuple[list[Sweep], tuple[int, ...]]:
    """The sweeps, and where each qubit ends; at the beginning qubit q is at bit position q."""
    schedule = _Schedule(steps, num_qubits)
    qubit_at = list(range(num_qubits))
    planned: list[Sweep] = []
    while schedule.left:
        chosen, inside = schedule.next_sweep(
            qubit_at[: max(0, min(_RUN_BITS, block_bits - LARGEST_MATRIX))], block_bits
        )
        local = _filled([p for p in range(num_qubits) if inside >> qubit_at[p] & 1], num_qubits, block_bits)
        order = tuple(qubit_at[position] for position in local)
        outer = tuple(qubit_at[p] for p in range(num_qubits) if p not in set(local))
        staged = tuple(stages([steps[number] for number in chosen], order))
        planned.append(Sweep(tuple(local), order, outer, staged))
        for position, qubit in zip(local, staged[-1].order, strict=True):
            qubit_at[position] = qubit
    moved = [0] * num_qubits
    for position, qubit in enumerate(qubit_at):
        moved[qubit] = position
    return planned, tuple(moved)


def changed(step: Step) -> tuple[int, ...]:
    """The qubits that must be local; where a step is diagonal, or a control, the bit may be fixed."""
    return () if isinstance(step, Phase | Diagonal) else step.qubits


class _Schedule:
    """The order in which steps wait on each qubit, and how far each queue is done."""

    def __init__(self, steps: Sequence[Step], num_qubits: int) -> None:
        self._steps = steps
        self._touched = [touched(step) for step in steps]
        self._changed = [sum(1 << qubit for qubit in changed(step)) for step in steps]
        self._queues: list[list[int]] = [[] for _ in range(num_qubits)]
        for number, qubits in enumerate(self._touched):
            for qubit in qubits:
                self._queues[qubit].append(number)
        self._heads = [0] * num_qubits
        self.left = len(steps)

    def next_sweep(self, always: Sequence[int], block_bits: int) -> tuple[list[int], int]:
        """Steps that need few qubits more than those before them; the mask of all that they need."""
        start = sum(1 << qubit for qubit in always)
        first = next(
            n for n in self._ready(self._heads) if (start | self._changed[n]).bit_count() <= block_bits
        )
        chosen, inside, heads = self._grown(first, start, block_bits)
        self._heads = heads
        self.left -= len(chosen)
        return chosen, inside

    def _ready(self, heads: Sequence[int]) -> list[int]:
        """The steps that are first in all of their queues, earliest first."""
        found = set()
        for qubit, queue in enumerate(self._queues):
            if heads[qubit] < len(queue):
                number = queue[heads[qubit]]
                if all(self._queues[q][heads[q]] == number for q in self._touched[number]):
                    found.add(number)
        return sorted(found)

    def _grown(self, first: int, inside: int, block_bits: int) -> tuple[list[int], int, list[int]]:
        heads = self._heads[:]
        chosen: list[int] = []
        number: int | None = first
        while number is not None and len(chosen) < MOST_STEPS:
            chosen.append(number)
            inside |= self._changed[number]
            for qubit in self._touched[number]:
                heads[qubit] += 1
            number = self._nearest(heads, inside, block_bits)
        return chosen, inside, heads

    def _nearest(self, heads: Sequence[int], inside: int, block_bits: int) -> int | None:
        """The step that needs the fewest qubits more."""
        best = None
        for number in self._ready(heads):
            more = (self._changed[number] & ~inside).bit_count()
            if inside.bit_count() + more <= block_bits and (best is None or more < best[0]):
                best = (more, number)
        return None if best is None else best[1]


def _filled(local: list[int], num_qubits: int, size: int) -> list[int]:
    """With the lowest other positions, so that runs are long."""
    others = (position for position in range(num_qubits) if position not in set(local))
    return sorted(
        [*local, *(position for position, _ in zip(others, range(size - len(local)), strict=False))]
    )
