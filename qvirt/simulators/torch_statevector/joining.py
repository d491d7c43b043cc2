"""Gates with a matrix for each row, joined where they follow one another on the same qubit.

A gate costs a pass over all rows, and the product of two matrices nearly nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qvirt.simulators.torch_statevector.operations import (
    Dense,
    Diagonal,
    Operation,
    matrix_of,
    positions,
)


def joined(operations: Sequence[Operation]) -> list[Operation]:
    """The same, with the gates on one qubit between two others multiplied."""
    found: list[Operation] = []
    waiting: dict[int, Operation] = {}
    for operation in operations:
        if len(operation.qubits) == 1 and not operation.controls:
            (qubit,) = operation.qubits
            before = waiting.get(qubit)
            waiting[qubit] = operation if before is None else _after(operation, before)
            continue
        for qubit in positions(operation):
            if qubit in waiting:
                found.append(waiting.pop(qubit))
        found.append(operation)
    return found + list(waiting.values())


def _after(operation: Operation, before: Operation) -> Operation:
    if isinstance(operation, Diagonal) and isinstance(before, Diagonal):
        return Diagonal(operation.qubits, operation.diagonal * before.diagonal)
    return Dense(operation.qubits, np.matmul(matrix_of(operation), matrix_of(before)))
