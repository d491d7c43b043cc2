"""How many sweeps over a state vector a circuit takes once neighbouring gates are joined into blocks."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST_BLOCK = 4
WINDOW = 16
"""Qubits of which all amplitudes are in a core's cache."""


class Fusion:
    """Greedy, one gate at a time: a gate joins the blocks on its qubits while they stay small enough.

    A block is open as long as no other block has taken one of its qubits, so open blocks touch disjoint
    qubits and can be joined in any order.
    """

    def __init__(self, num_qubits: int) -> None:
        self._block: list[set[int] | None] = [None] * num_qubits
        self._closed = 0

    def gate(self, qubits: Sequence[int]) -> None:
        blocks = self._block
        if len(qubits) == 1:
            if blocks[qubits[0]] is None:
                blocks[qubits[0]] = {qubits[0]}
            return
        first = blocks[qubits[0]]
        if first is not None and all(blocks[q] is first for q in qubits):
            return
        joined = set(qubits)
        for block in sorted(self._open_on(qubits), key=len, reverse=True):
            if len(joined | block) <= LARGEST_BLOCK:
                joined |= block
            else:
                self._close(block)
        if len(joined) > LARGEST_BLOCK:
            self._closed += 1
            return
        for qubit in joined:
            blocks[qubit] = joined

    def end(self, qubits: Sequence[int]) -> None:
        """Something that is no gate happens on ``qubits``: a measurement in the middle, a reset."""
        for block in self._open_on(qubits):
            self._close(block)

    def passes(self) -> int:
        """Blocks still open are packed: what is left of one may hold another."""
        sizes = [len(block) for block in self._open_on(range(len(self._block)))]
        ones, twos, threes, fours = (sizes.count(size) for size in (1, 2, 3, 4))
        small = 2 * twos + max(0, ones - threes)
        return self._closed + fours + threes + -(-small // LARGEST_BLOCK)

    def _open_on(self, qubits: Sequence[int]) -> list[set[int]]:
        found = {id(block): block for block in (self._block[q] for q in qubits) if block is not None}
        return list(found.values())

    def _close(self, block: set[int]) -> None:
        self._closed += 1
        for qubit in block:
            self._block[qubit] = None


class Windows:
    """How often the qubits that gates mix, one gate after another, outgrow what a cache holds.

    Diagonal gates and those on one qubit are left out: they go along with their neighbours.
    """

    def __init__(self) -> None:
        self.count = 1
        self._qubits: set[int] = set()

    def gate(self, qubits: Sequence[int]) -> None:
        self._qubits.update(qubits)
        if len(self._qubits) > WINDOW:
            self.count += 1
            self._qubits = set(qubits)
