"""Single-qubit gates taken into the two-qubit gates beside them, and gates on the same pair joined.

A diagonal gate stays one: nothing is taken into it but phases. What turns out diagonal (cx, rz, cx) is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from qvirt.simulators.torch_statevector.operations import (
    LARGEST_MATRIX,
    Diagonal,
    Matrix,
    Operation,
    Permutation,
    matrix_of,
)

_LARGEST_PHASE = 2
_ROUNDING = 1e-12


@dataclass(slots=True, eq=False)
class Gate:
    """``matrix`` is None where the gate is too large for one; bit i of ``diagonal_on`` is for qubits[i]."""

    qubits: tuple[int, ...]
    matrix: Matrix | None
    operation: Operation
    diagonal: Matrix | None = None
    diagonal_on: int = 0

    @property
    def is_phase(self) -> bool:
        return self.diagonal is not None and len(self.qubits) <= _LARGEST_PHASE

    def full_matrix(self) -> Matrix:
        assert self.matrix is not None  # noqa: S101
        return self.matrix


def paired(operations: Sequence[Operation], num_qubits: int) -> list[Gate]:
    """The same unitary, in gates without controls of their own where they have matrices."""
    pairing = _Pairing(num_qubits)
    for operation in operations:
        pairing.add(operation)
    for qubit in range(num_qubits):
        pairing.flush(qubit)
    for width in {len(gate.qubits) for gate in pairing.gates}:
        _classify([gate for gate in pairing.gates if len(gate.qubits) == width], width)
    return pairing.gates


class _Pairing:
    def __init__(self, num_qubits: int) -> None:
        self.gates: list[Gate] = []
        self._waiting: list[tuple[Matrix, bool] | None] = [None] * num_qubits
        """The product of the single-qubit gates since the last larger one; whether it is diagonal."""
        self._single: list[Operation | None] = [None] * num_qubits
        self._last: list[Gate | None] = [None] * num_qubits

    def add(self, operation: Operation) -> None:
        qubits = (*operation.qubits, *operation.controls)
        diagonal = isinstance(operation, Diagonal)
        if len(qubits) == 1:
            before = self._waiting[qubits[0]]
            if before is None:
                self._waiting[qubits[0]] = (matrix_of(operation), diagonal)
            elif isinstance(operation, Diagonal):
                self._waiting[qubits[0]] = (operation.diagonal[:, None] * before[0], before[1])
            else:
                self._waiting[qubits[0]] = (matrix_of(operation) @ before[0], False)
            self._single[qubits[0]] = operation
        elif len(qubits) == 2:
            self._add_pair(qubits, operation, diagonal)
        else:
            for qubit in qubits:
                self.flush(qubit)
            self._append(Gate(qubits, None if len(qubits) > LARGEST_MATRIX else opened(operation), operation))

    def _add_pair(self, qubits: tuple[int, int], operation: Operation, diagonal: bool) -> None:
        last = self._last[qubits[0]]
        joined = last is not None and last is self._last[qubits[1]] and len(last.qubits) == 2
        if diagonal and not joined:
            for qubit in qubits:
                waiting = self._waiting[qubit]
                if waiting is not None and not waiting[1]:
                    self.flush(qubit)
        matrix = opened(operation)
        low, high = (self._waiting[qubit] for qubit in qubits)
        if low is not None or high is not None:
            single = _tensor(high[0] if high else None, low[0] if low else None)
            matrix = matrix @ single
            self._waiting[qubits[0]] = self._waiting[qubits[1]] = None
        if joined and last is not None and last.matrix is not None:
            if last.qubits != qubits:
                matrix = matrix[_SWAPPED]
            last.matrix = matrix @ last.matrix
        else:
            self._append(Gate(qubits, matrix, operation))

    def flush(self, qubit: int) -> None:
        """Into the pair before, unless that would make a diagonal gate dense."""
        waiting, operation, last = self._waiting[qubit], self._single[qubit], self._last[qubit]
        if waiting is None or operation is None:
            return
        self._waiting[qubit] = None
        if last is not None and last.matrix is not None and len(last.qubits) == 2 and _is_dense(last.matrix):
            high = last.qubits[1] == qubit
            single = _tensor(waiting[0] if high else None, None if high else waiting[0])
            last.matrix = single @ last.matrix
        else:
            self._append(Gate((qubit,), waiting[0], operation))

    def _append(self, gate: Gate) -> None:
        self.gates.append(gate)
        for qubit in gate.qubits:
            self._last[qubit] = gate


def _is_dense(matrix: Matrix) -> bool:
    return bool(np.count_nonzero(matrix) > np.count_nonzero(np.diagonal(matrix)))


_SWAPPED = np.ix_([0, 2, 1, 3], [0, 2, 1, 3])
_IDENTITY: Matrix = np.eye(2, dtype=np.complex128)


def _tensor(high: Matrix | None, low: Matrix | None) -> Matrix:
    first: Matrix = _IDENTITY if high is None else high
    second: Matrix = _IDENTITY if low is None else low
    return (first[:, None, :, None] * second[None, :, None, :]).reshape(4, 4)


def opened(operation: Operation) -> Matrix:
    """On its qubits and its controls, which come after them."""
    if isinstance(operation, Permutation):
        return _opened_permutation(operation.targets, len(operation.controls), operation.values)
    return _controlled(matrix_of(operation), len(operation.controls), operation.values)


@lru_cache(maxsize=256)
def _opened_permutation(targets: tuple[int, ...], controls: int, values: int) -> Matrix:
    inner = np.zeros((len(targets),) * 2, np.complex128)
    inner[list(targets), range(len(targets))] = 1
    return _controlled(inner, controls, values)


def _controlled(inner: Matrix, controls: int, values: int) -> Matrix:
    if not controls:
        return inner
    size = len(inner)
    matrix = np.eye(size << controls, dtype=np.complex128)
    matrix[values * size : (values + 1) * size, values * size : (values + 1) * size] = inner
    return matrix


def _classify(gates: Sequence[Gate], width: int) -> None:
    """All on ``width`` qubits at once."""
    if width > LARGEST_MATRIX:
        for gate in gates:
            gate.diagonal_on = (1 << width) - 1 if isinstance(gate.operation, Diagonal) else 0
        return
    used = np.array([gate.full_matrix() for gate in gates]) != 0
    diagonal_on = sum((~used[:, _flips(width, bit)].any(1)).astype(int) << bit for bit in range(width))
    for gate, mask in zip(gates, np.asarray(diagonal_on).tolist(), strict=True):
        gate.diagonal_on = mask
        if mask == (1 << width) - 1:
            # Those of channels are not of length one.
            diagonal = np.diagonal(gate.full_matrix())
            if abs(abs(diagonal) - 1).max() < _ROUNDING:
                gate.diagonal = diagonal


@cache
def _flips(width: int, bit: int) -> NDArray[np.bool_]:
    """Which elements of a matrix change the bit."""
    numbers = np.arange(1 << width)
    flips: NDArray[np.bool_] = ((numbers[:, None] ^ numbers[None, :]) >> bit & 1).astype(bool)
    return flips
