"""The gates of a segment as the kernels want them, on numbered qubits.

Little-endian: qubits[0] is bit 0 of a matrix's index. Controls stand apart from the qubits that change,
so that a gate with many of them touches only the amplitudes where they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.controlledgate import ControlledGate
from qiskit.circuit.library import get_standard_gate_name_mapping

Matrix = NDArray[np.complex128]

LARGEST_MATRIX = 6
_LARGEST_PLAIN = 3
"""Gates on more qubits are taken with their controls."""

_PLAIN_CONTROLS = {"cx": "x", "ccx": "x", "ch": "h", "cy": "y", "csx": "sx", "cswap": "swap"}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """``matrix`` is (2**k, 2**k), or (rows, 2**k, 2**k): one for each row of a batch.

    It acts where bit i of ``values`` is what controls[i] is.
    """

    qubits: tuple[int, ...]
    matrix: Matrix
    controls: tuple[int, ...] = ()
    values: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Diagonal:
    """``diagonal`` is (2**k,), or (rows, 2**k)."""

    qubits: tuple[int, ...]
    diagonal: Matrix
    controls: tuple[int, ...] = ()
    values: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """The amplitude of basis state i of ``qubits`` goes to ``targets[i]``."""

    qubits: tuple[int, ...]
    targets: tuple[int, ...]
    controls: tuple[int, ...] = ()
    values: int = 0


Operation = Dense | Diagonal | Permutation


def placed(operation: Operation, position: Sequence[int] | Mapping[int, int]) -> Operation:
    """The same with qubit q at ``position[q]``."""
    qubits = tuple([position[qubit] for qubit in operation.qubits])
    controls = tuple([position[qubit] for qubit in operation.controls])
    return _standing(operation, qubits, controls, operation.values)


def _standing(
    operation: Operation, qubits: tuple[int, ...], controls: tuple[int, ...], values: int
) -> Operation:
    """The same somewhere else; ``dataclasses.replace`` takes a fifth of a small circuit's time."""
    if isinstance(operation, Dense):
        return Dense(qubits, operation.matrix, controls, values)
    if isinstance(operation, Diagonal):
        return Diagonal(qubits, operation.diagonal, controls, values)
    return Permutation(qubits, operation.targets, controls, values)


def positions(operation: Operation) -> tuple[int, ...]:
    """All that it looks at or changes."""
    return (*operation.qubits, *operation.controls)


@cache
def basis() -> frozenset[str]:
    """Gates with a small matrix, or with many controls and a small matrix."""
    known = get_standard_gate_name_mapping().items()
    return frozenset({name for name, gate in known if gate.num_qubits} | {"unitary", "mcx", "mcphase"})


def operation(step: CircuitInstruction, qubits: Sequence[int]) -> Operation:
    """A gate of the basis on ``qubits``."""
    if step.name == "unitary":
        return from_matrix(step.matrix, qubits)
    if len(qubits) > _LARGEST_PLAIN and isinstance(step.operation, ControlledGate):
        gate = step.operation
        targets = qubits[gate.num_ctrl_qubits :]
        inner = from_matrix(gate.base_gate.to_matrix(), targets)
        return _standing(inner, inner.qubits, tuple(qubits[: gate.num_ctrl_qubits]), gate.ctrl_state)
    if step.name in _PLAIN_CONTROLS and step.is_standard_gate():
        inner = _standard(_PLAIN_CONTROLS[step.name])
        width = len(inner.qubits)
        controls = tuple(qubits[:-width])
        all_ones = (1 << len(controls)) - 1
        return _standing(inner, tuple(qubits[-width:]), controls, all_ones)
    if step.is_standard_gate() and not step.params:
        return placed(_standard(step.name), qubits)
    return from_matrix(step.matrix, qubits)


@cache
def _standard(name: str) -> Operation:
    gate: Any = get_standard_gate_name_mapping()[name]
    return from_matrix(gate.to_matrix(), range(gate.num_qubits))


def from_matrix(matrix: Any, qubits: Sequence[int]) -> Operation:
    """As the kind that it is; what is nearly, but not exactly, diagonal is dense."""
    matrix = np.asarray(matrix, np.complex128)
    filled, diagonal = np.count_nonzero(matrix), matrix.diagonal()
    if filled == np.count_nonzero(diagonal):
        return Diagonal(tuple(qubits), diagonal.copy())
    if filled == len(matrix):
        columns = np.argmax(matrix != 0, axis=0)
        if np.array_equal(matrix[columns, np.arange(len(matrix))], np.ones(len(matrix))):
            return Permutation(tuple(qubits), tuple(columns.tolist()))
    return Dense(tuple(qubits), matrix)


def matrix_of(operation: Operation) -> Matrix:
    """On its qubits, without its controls; with a leading axis where there is one for each row."""
    if isinstance(operation, Dense):
        return operation.matrix
    if isinstance(operation, Diagonal):
        return operation.diagonal[..., None] * np.eye(operation.diagonal.shape[-1])
    matrix = np.zeros((len(operation.targets),) * 2, np.complex128)
    matrix[list(operation.targets), range(len(operation.targets))] = 1
    return matrix
