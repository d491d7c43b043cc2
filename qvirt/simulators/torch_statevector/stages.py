"""Orders of a block's qubits in which several steps, one after the other, find theirs next to one another.

A chain is a row of cells, sets of qubits whose order is still free. A step whose qubits reach from a chain's
end into free ones makes it longer, and splits the cells that it holds a part of: what Booth and Lueker's
PQ-trees do (Testing for the consecutive ones property, 1976), without their branching.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qvirt.simulators.torch_statevector.fusion import PRICES, Phase, Step
from qvirt.simulators.torch_statevector.operations import Dense

ROW_BITS = 4
"""The least run of amplitudes that moves cheaply, and that a product in the middle of a block needs."""

_LEAST_ROWS_FROM = 12
"""Positions from which on a block leaves its lowest qubits alone."""

_MOVES = {ROW_BITS: 11.0, 3: 18.0, 1: 21.0, 0: 28.0}
"""What moving rows of 2**bits amplitudes costs beside ``PRICES``."""

Chain = list[set[int]]


@dataclass(frozen=True, slots=True)
class Stage:
    """``order``: the qubit at each position of the block, lowest first, during all of the steps."""

    order: tuple[int, ...]
    steps: tuple[Step, ...]


def stages(steps: Sequence[Step], order: Sequence[int]) -> Iterator[Stage]:
    """All of the steps, in as few and as cheap moves as can be seen ahead."""
    waiting = list(steps)
    while waiting:
        tried = [_Arrangement(order, order[:kept]) for kept in (_MOVES if _reserve(order) else (0,))]
        for arrangement in tried:
            arrangement.take(waiting)
        best = min(tried, key=_Arrangement.price)
        waiting = [step for step in waiting if step not in best.steps]
        order = best.final_order(waiting)
        yield Stage(tuple(order), tuple(best.steps))


def _reserve(order: Sequence[int]) -> int:
    return ROW_BITS if len(order) >= _LEAST_ROWS_FROM else 0


class _Arrangement:
    """Grows by the steps that fit; the qubits in ``low`` stay where they are, the lowest ones."""

    def __init__(self, order: Sequence[int], low: Sequence[int]) -> None:
        self._order = order
        self._low = tuple(low)
        self._room = len(order) - _reserve(order)
        self._chains: list[Chain] = []
        self.steps: list[Step] = []

    def take(self, waiting: Sequence[Step]) -> None:
        held: set[int] = set(self._low)
        passed: set[int] = set()
        for step in waiting:
            if passed.isdisjoint(touched(step)) and (not is_block(step) or self._fits(step, held)):
                self.steps.append(step)
            else:
                passed.update(touched(step))

    def price(self) -> float:
        """Of the move, for each unit of work that it makes possible."""
        blocks = [step for step in self.steps if is_block(step)]
        if not blocks or self._stands(blocks):
            return 0.0 if self.steps else float("inf")
        return _MOVES[len(self._low)] / sum(PRICES[len(block.qubits)] for block in blocks)

    def final_order(self, waiting: Sequence[Step]) -> Sequence[int]:
        """``waiting``: what comes next, which the lowest qubits should not be needed for soon."""
        if self._stands([step for step in self.steps if is_block(step)]):
            return self._order
        chained = [q for chain in self._chains for cell in chain for q in sorted(cell, key=self._order.index)]
        idle = [qubit for qubit in self._order if qubit not in chained]
        uses: dict[int, int] = {}
        for number, step in enumerate(waiting):
            for qubit in step.qubits if is_block(step) else ():
                uses.setdefault(qubit, number)
        free = [qubit for qubit in idle if qubit not in self._low]
        free.sort(key=lambda qubit: -uses.get(qubit, len(waiting)))
        low = [*self._low, *free][: _reserve(self._order)]
        return [*low, *(qubit for qubit in idle if qubit not in low), *chained]

    def _stands(self, blocks: Sequence[Step]) -> bool:
        return all(_is_fast(self._order, block.qubits) for block in blocks)

    def _fits(self, block: Step, held: set[int]) -> bool:
        return held.isdisjoint(block.qubits) and self._chained(set(block.qubits))

    def _chained(self, qubits: set[int]) -> bool:
        """Whether they fit; if so, they are in."""
        touching = [chain for chain in self._chains if any(cell & qubits for cell in chain)]
        new = qubits.difference(*(cell for chain in touching for cell in chain))
        if sum(len(cell) for chain in self._chains for cell in chain) + len(new) > self._room:
            return False
        joined = _joined(touching, qubits, new)
        if joined is None:
            return False
        self._chains = [*(chain for chain in self._chains if chain not in touching), joined]
        return True


def _joined(chains: Sequence[Chain], qubits: set[int], new: set[int]) -> Chain | None:
    middle = [new] if new else []
    if not chains:
        return middle
    if len(chains) == 1 and not new:
        return _split(chains[0], qubits)
    ends = [_ending(chain, qubits) for chain in chains]
    if len(ends) > 2 or any(end is None for end in ends):
        return None
    first, last = ends[0], ends[1] if len(ends) == 2 else []
    return [*(first or []), *middle, *reversed(last or [])]


def _ending(chain: Chain, qubits: set[int]) -> Chain | None:
    """The chain, or its mirror image, with those of ``qubits`` that are in it at its end."""
    for cells in (chain, chain[::-1]):
        first = next(number for number, cell in enumerate(cells) if cell & qubits)
        if all(cell <= qubits for cell in cells[first + 1 :]):
            outside = cells[first] - qubits
            return [
                *cells[:first],
                *([outside] if outside else []),
                cells[first] & qubits,
                *cells[first + 1 :],
            ]
    return None


def _split(chain: Chain, qubits: set[int]) -> Chain | None:
    """The chain with ``qubits``, all of them in it, next to one another."""
    held = [number for number, cell in enumerate(chain) if cell & qubits]
    first, last = held[0], held[-1]
    if not all(cell <= qubits for cell in chain[first + 1 : last]):
        return None
    left, right = chain[first] - qubits, chain[last] - qubits
    if first == last:
        inside = [chain[first] & qubits]
        right = set()
    else:
        inside = [chain[first] & qubits, *chain[first + 1 : last], chain[last] & qubits]
    cells = [*chain[:first], left, *inside, right, *chain[last + 1 :]]
    return [cell for cell in cells if cell]


def is_block(step: Step) -> bool:
    """A matrix, and no controls."""
    return isinstance(step, Dense) and not step.controls


def touched(step: Step) -> tuple[int, ...]:
    return step.qubits if isinstance(step, Phase) else (*step.qubits, *step.controls)


def window(order: Sequence[int], qubits: Sequence[int]) -> int | None:
    """Where the qubits begin, if they stand together."""
    places = [order.index(qubit) for qubit in qubits]
    return min(places) if max(places) - min(places) + 1 == len(qubits) else None


def _is_fast(order: Sequence[int], qubits: Sequence[int]) -> bool:
    """Whether the batched product has rows long enough, or there is no batch."""
    first = window(order, qubits)
    return first is not None and (first == 0 or first >= ROW_BITS or first + len(qubits) == len(order))
