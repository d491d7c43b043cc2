"""Which amplitudes a tile of ``triton_kernels`` holds, as the tables that its kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qvirt.simulators.torch_statevector.operations import Dense, Matrix, Permutation, matrix_of
from qvirt.simulators.torch_statevector.triton_kernels import HEADER, OUTER, SIDE_BITS

_LEAST_GROUP = 4
"""``tl.dot`` takes products of 16 numbers and more."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """``matrix`` on bits, and the tables of the tiles that hold them.

    ``order`` is None where a tile's runs are its matrix's rows; else it says where in the order of
    addresses each number of the matrix is, and then the same the other way round.
    """

    matrix: Matrix
    table: Numbers
    order: NDArray[np.int32] | None
    masked: bool


def group(
    operation: Dense | Permutation, num_qubits: int, tile_bits: int, run: int, by_address: bool
) -> Group:
    """``run`` amplitudes are read together at least; ``by_address`` asks for ``order`` in any case."""
    low = run.bit_length() - 1
    dense = _widened(
        Dense(operation.qubits, matrix_of(operation), operation.controls, operation.values), num_qubits
    )
    fixed, mask, value = _controls(dense, num_qubits - tile_bits, low)
    free = [p for p in range(num_qubits) if p not in dense.qubits and p not in fixed]
    width = tile_bits - len(dense.qubits)
    columns = spread(free[:width])
    places = (spread(dense.qubits)[:, None] + columns[None, :]).ravel()
    addresses, order = places, None
    if by_address or min(dense.qubits) < low:
        addresses = np.sort(places)
        there = np.searchsorted(addresses, places)
        order = np.concatenate((there, np.argsort(there))).astype(np.int32)
    batched = int(dense.matrix.ndim == 3)
    table = header(num_qubits, free[width:], sum(fixed.values()), mask, value, batched)
    return Group(dense.matrix, np.concatenate((table, addresses[::run], columns)), order, mask != 0)


def header(
    num_qubits: int, outer: Sequence[int], start: int = 0, mask: int = 0, value: int = 0, stride: int = 0
) -> Numbers:
    """``outer``: the bit positions by which tiles differ, ``start`` where the first of them is."""
    table = np.zeros(HEADER + OUTER, np.int64)
    table[:6] = (1 << len(outer), 1 << num_qubits, start, mask, value, stride)
    table[HEADER : HEADER + len(outer)] = [1 << position for position in outer]
    return table


def neighbours(num_qubits: int, stride: int = 0) -> Numbers:
    """The table of tiles without gaps."""
    return header(num_qubits, range(2 * SIDE_BITS, num_qubits), stride=stride)


def spread(positions: Sequence[int]) -> Numbers:
    """For each number its bits at these positions."""
    numbers = np.arange(1 << len(positions), dtype=np.int64)
    found = np.zeros_like(numbers)
    for bit, position in enumerate(positions):
        found += (numbers >> bit & 1) << position
    return found


def _widened(operation: Dense, num_qubits: int) -> Dense:
    """On as many qubits as the kernel needs: high ones that nothing happens to, else controls."""
    missing = _LEAST_GROUP - len(operation.qubits)
    if missing <= 0:
        return operation
    used = {*operation.qubits, *operation.controls}
    unused = [p for p in reversed(range(num_qubits)) if p not in used]
    if not unused:
        return _widened(_opened(operation), num_qubits)
    matrix = np.asarray(np.kron(np.eye(2), operation.matrix), np.complex128)
    return _widened(replace(operation, qubits=(*operation.qubits, unused[0]), matrix=matrix), num_qubits)


def _opened(operation: Dense) -> Dense:
    """The last control as part of the matrix."""
    *controls, last = operation.controls
    value = operation.values >> len(controls)
    acts = np.diag([1 - value, value]).astype(np.complex128)
    waits = np.kron(np.eye(2) - acts, np.eye(operation.matrix.shape[-1]))
    matrix = np.kron(acts, operation.matrix) + waits
    values = operation.values & ((1 << len(controls)) - 1)
    return Dense((*operation.qubits, last), matrix, tuple(controls), values)


def _controls(operation: Dense, most: int, low: int) -> tuple[dict[int, int], int, int]:
    """Those that tiles are chosen by, as position -> what it adds to where they begin; the others' mask and
    value. ``most`` positions may be chosen by, and none below ``low``."""
    fixed: dict[int, int] = {}
    mask = value = 0
    for bit, position in enumerate(operation.controls):
        held = (operation.values >> bit & 1) << position
        if position >= low and len(fixed) < most:
            fixed[position] = held
        else:
            mask, value = mask | 1 << position, value | held
    return fixed, mask, value
