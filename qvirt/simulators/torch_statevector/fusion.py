"""Gates joined into few dense matrices on some four qubits, and diagonal gates into runs of phases.

As in the fusion of qsim (quantumlib.github.io/qsim) and of Häner and Steiger (0.5 Petabyte Simulation of
a 45-Qubit Quantum Circuit, SC17), a block grows over the gates that are free to go next; what it is worth
is the price of its gates by themselves over the price of its matrix. Two gates commute where both are
diagonal on every qubit that they share, so that the order of controlled phases does not hold a block up.
Diagonal gates that no block takes in are joined into one quadratic form of the qubits' bits, whatever
their number is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from qvirt.simulators.torch_statevector.operations import Dense, Matrix, Operation
from qvirt.simulators.torch_statevector.pairing import Gate, paired

PRICES: Mapping[int, float] = {1: 60, 2: 60, 3: 60, 4: 62, 5: 105, 6: 185}
"""Of a matrix on that many qubits, in microseconds for 2**15 amplitudes in single precision on one core of
Zen 4: 53, 92 and 172 for four to six, and a share of moving qubits. Three alone take 35 and fewer 28, but
are priced like four, which leave fewer steps to plan and to move for."""

_WORTH = {1: 14.0, 2: 18.0}
_DIAGONAL_WORTH = 2.0
_POOR = 0.7
"""A block that saves less than this share of its price waits until the phases that are ready are done."""

_MOST_TRIED = 10
"""Ways to make a block wider."""

WIDEST = 4
_SMALL = 6
"""Qubits of which all can be in one block: what a step of so few amplitudes costs is to be called at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """exp(i (constant + linear . b + sum over p < q of coupling[p, q] b_p b_q)), b the bits."""

    qubits: tuple[int, ...]
    constant: float
    linear: NDArray[np.float64]
    coupling: NDArray[np.float64]
    """Both over all of the qubits; the coupling is upper triangular."""


Step = Dense | Phase | Operation
"""Gates too large for a block stay as they were."""


def fuse(operations: Sequence[Operation], num_qubits: int, widest: int | None = None) -> list[Step]:
    """The same unitary in few steps, with matrices on ``widest`` qubits at most where gates have no more."""
    widest = widest or (num_qubits if num_qubits <= _SMALL else WIDEST)
    gates = paired(operations, num_qubits)
    if gates and num_qubits <= widest and all(gate.matrix is not None for gate in gates):
        return [_product(gates, range(num_qubits))]
    return list(_Fusion(gates, num_qubits, widest).steps())


@dataclass(slots=True)
class _Reach:
    """How far each qubit is done: ``group`` is the group of gates to be done next, ``left`` how many of it.

    ``taken`` are the gates of a block that is being tried.
    """

    group: list[int]
    left: list[int]
    taken: set[int] = field(default_factory=set)

    def copy(self) -> _Reach:
        return _Reach(self.group[:], self.left[:], set(self.taken))


@dataclass(frozen=True, slots=True)
class _Block:
    score: float
    mask: int
    gates: tuple[int, ...]


class _Fusion:
    """On each qubit the gates stand in groups: one gate, or a run of gates that are diagonal on it."""

    def __init__(self, gates: Sequence[Gate], num_qubits: int, widest: int) -> None:
        self._gates = gates
        self._num_qubits = num_qubits
        self._widest = widest
        self._groups: list[list[list[int]]] = [[] for _ in range(num_qubits)]
        self._place: list[tuple[tuple[int, int], ...]] = []
        """Of each gate: its qubits, and the group that it is in on each."""
        self._masks = [sum(1 << qubit for qubit in gate.qubits) for gate in gates]
        self._worth = [_worth(gate) for gate in gates]
        open_run = [False] * num_qubits
        for number, gate in enumerate(gates):
            for bit, qubit in enumerate(gate.qubits):
                commuting = bool(gate.diagonal_on >> bit & 1)
                if not (commuting and open_run[qubit]):
                    self._groups[qubit].append([])
                self._groups[qubit][-1].append(number)
                open_run[qubit] = commuting
            self._place.append(tuple((qubit, len(self._groups[qubit]) - 1) for qubit in gate.qubits))
        self._depth = [max(group for _, group in place) for place in self._place]
        self._done = bytearray(len(gates))
        self._reach = _Reach([0] * num_qubits, [len(groups[0]) if groups else 0 for groups in self._groups])

        self._free = {n for qubit in range(num_qubits) for n in self._ready(self._reach, qubit)}
        """The gates that may go next."""

    def steps(self) -> Iterator[Step]:
        while self._free:
            phases = [number for number in self._free if self._gates[number].is_phase]
            others = (number for number in self._free if not self._gates[number].is_phase)
            seed = min(others, key=lambda number: (self._depth[number], number), default=None)
            if seed is not None and self._gates[seed].matrix is None:
                self._commit([seed])
                yield self._gates[seed].operation
                continue
            block = None if seed is None else self._grown(seed)
            if block is None or (phases and block.score < _POOR):
                self._commit(phases)
                gates = [self._gates[number] for number in sorted(phases)]
                yield quadratic([(gate.qubits, gate.diagonal) for gate in gates], self._num_qubits)
                continue
            self._commit(block.gates)
            yield self._matrix(block)

    def _ready(self, reach: _Reach, qubit: int) -> Iterator[int]:
        group = reach.group[qubit]
        if group < len(self._groups[qubit]):
            for number in self._groups[qubit][group]:
                if not self._done[number] and number not in reach.taken:
                    for other, place in self._place[number]:
                        if reach.group[other] != place:
                            break
                    else:
                        yield number

    def _commit(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._take(number, self._reach)
            self._done[number] = 1
        self._free.difference_update(numbers)
        for qubit in {qubit for number in numbers for qubit in self._gates[number].qubits}:
            self._free.update(self._ready(self._reach, qubit))

    def _take(self, number: int, reach: _Reach) -> None:
        for qubit, group in self._place[number]:
            reach.left[qubit] -= 1
            if not reach.left[qubit]:
                reach.group[qubit] = group + 1
                groups = self._groups[qubit]
                reach.left[qubit] = len(groups[group + 1]) if group + 1 < len(groups) else 0

    def _absorbed(self, reach: _Reach, mask: int, qubits: Iterable[int]) -> list[int]:
        """All that can be done on the qubits in ``mask``, where only ``qubits`` are new."""
        taken: list[int] = []
        waiting = list(qubits)
        while waiting:
            qubit = waiting.pop()
            found = [n for n in self._ready(reach, qubit) if not self._masks[n] & ~mask]
            for number in found:
                self._take(number, reach)
                reach.taken.add(number)
                waiting += self._gates[number].qubits
            taken += found
        return taken

    def _grown(self, seed: int) -> _Block:
        mask = self._masks[seed]
        reach = self._reach.copy()
        gates = self._absorbed(reach, mask, self._gates[seed].qubits)
        worth = sum(self._worth[number] for number in gates)
        best = self._scored(mask, gates, worth)
        while (width := mask.bit_count()) < self._widest:
            found = None
            for wider in self._wider(reach, mask, self._widest - width):
                after = reach.copy()
                more = self._absorbed(after, wider, _bits(wider & ~mask))
                gain = sum(self._worth[number] for number in more)
                # Of ways that are equal, the deeper one leaves the front of the gates to be done more even.
                key = (gain / (wider.bit_count() - width), sum(after.group[q] for q in _bits(wider)), wider)
                if found is None or key > found[0]:
                    found = (key, wider, after, more, gain)
            if found is None:
                break
            _, mask, reach, more, gain = found
            gates += more
            worth += gain
            block = self._scored(mask, gates, worth)
            if block.score > best.score:
                best = block
        return best

    def _scored(self, mask: int, gates: Sequence[int], worth: float) -> _Block:
        return _Block(worth / PRICES[mask.bit_count()], mask, tuple(gates))

    def _wider(self, reach: _Reach, mask: int, most: int) -> list[int]:
        """With qubits that gates which are ready share with it; first those with the fewest of them to do."""
        order = sorted(range(self._num_qubits), key=reach.left.__getitem__)
        ready = (number for qubit in order if not mask >> qubit & 1 for number in self._ready(reach, qubit))
        masks = (self._masks[number] | mask for number in ready if self._gates[number].matrix is not None)
        fitting = (wider for wider in masks if (wider & ~mask).bit_count() <= most)
        return list(islice(dict.fromkeys(fitting), _MOST_TRIED))

    def _matrix(self, block: _Block) -> Dense:
        return _product([self._gates[number] for number in block.gates], _bits(block.mask))


def _product(gates: Iterable[Gate], qubits: Sequence[int]) -> Dense:
    """All of them on ``qubits``, the first first."""
    place = {qubit: number for number, qubit in enumerate(qubits)}
    product = np.eye(1 << len(qubits), dtype=np.complex128)
    for gate in gates:
        product = _applied(gate.full_matrix(), [place[qubit] for qubit in gate.qubits], product)
    return Dense(tuple(qubits), product)


def quadratic(factors: Iterable[tuple[Sequence[int], Matrix | None]], num_qubits: int) -> Phase:
    """The product of diagonals on one or two qubits."""
    linear, coupling = np.zeros(num_qubits), np.zeros((num_qubits, num_qubits))
    constant = 0.0
    touched: set[int] = set()
    for qubits, diagonal in factors:
        assert diagonal is not None  # noqa: S101
        angles = np.angle(diagonal).tolist()
        touched.update(qubits)
        constant += angles[0]
        for bit, qubit in enumerate(qubits):
            linear[qubit] += angles[1 << bit] - angles[0]
        if len(qubits) == 2:
            coupling[min(qubits), max(qubits)] += angles[3] - angles[2] - angles[1] + angles[0]
    return Phase(tuple(sorted(touched)), constant, linear, coupling)


def _applied(matrix: Matrix, axes: Sequence[int], to: Matrix) -> Matrix:
    """``matrix`` on the row index's bits ``axes`` of ``to``."""
    size, width = len(to), len(to).bit_length() - 1
    if list(axes) == list(range(width)):
        return matrix @ to
    front = [width - 1 - bit for bit in reversed(axes)]
    rest = [axis for axis in range(width) if axis not in front]
    order = [*front, *rest, width]
    tensor = to.reshape((2,) * width + (size,)).transpose(order)
    shape = tensor.shape
    product = (matrix @ tensor.reshape(len(matrix), -1)).reshape(shape)
    after: Matrix = product.transpose(sorted(order, key=order.__getitem__)).reshape(size, size)
    return after


def _worth(gate: Gate) -> float:
    if gate.is_phase:
        return _DIAGONAL_WORTH
    width = len(gate.qubits)
    return _WORTH.get(width) or PRICES.get(width, 0.0)


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
