"""Diagonal operations as the numbers that ``triton_kernels`` reads: factors, and parts of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qvirt.simulators.torch_statevector.fusion import Phase
from qvirt.simulators.torch_statevector.operations import Diagonal, Matrix
from qvirt.simulators.torch_statevector.triton_kernels import ENTRY, ENTRY_HEADER, OUTER, SIDE_BITS

_WIDEST = 10
"""log2 of the factors of diagonals that are joined: such tables stay in the first cache."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tables:
    """``factors`` is (rows or 1, all of the tables); ``entries`` what ``triton_kernels.diagonals`` wants."""

    factors: Matrix
    entries: Numbers


def tables(operations: Sequence[Diagonal]) -> Tables:
    """Few tables for the product of all of them; the order does not matter."""
    joined: list[Diagonal] = []
    for operation in operations:
        width = len(operation.qubits) + len(operation.controls)
        wide = _opened(operation) if operation.controls and width <= _WIDEST else operation
        _join(joined, wide)
    rows = max(1 if each.diagonal.ndim == 1 else len(each.diagonal) for each in joined)
    factors = [np.broadcast_to(each.diagonal, (rows, each.diagonal.shape[-1])) for each in joined]
    entries = np.zeros(1 + ENTRY * len(joined), np.int64)
    entries[0] = len(joined)
    offset = 0
    for entry, each in zip(entries[1:].reshape(-1, ENTRY), joined, strict=True):
        held = (each.values >> bit & 1 for bit in range(len(each.controls)))
        mask = sum(1 << position for position in each.controls)
        value = sum(bit << position for bit, position in zip(held, each.controls, strict=True))
        width = len(each.qubits)
        entry[:ENTRY_HEADER] = mask, value, offset, width
        entry[ENTRY_HEADER : ENTRY_HEADER + width] = each.qubits
        offset += 1 << width
    return Tables(np.concatenate(factors, axis=1), entries)


def _join(joined: list[Diagonal], operation: Diagonal) -> None:
    """Into the table that grows the least by it, or as a new one."""
    if not operation.controls:
        grown = [
            (len({*each.qubits, *operation.qubits}) - len(each.qubits), number)
            for number, each in enumerate(joined)
            if not each.controls and len({*each.qubits, *operation.qubits}) <= _WIDEST
        ]
        if grown:
            _, number = min(grown)
            joined[number] = _product(joined[number], operation)
            return
    joined.append(operation)


def _product(a: Diagonal, b: Diagonal) -> Diagonal:
    qubits = tuple(dict.fromkeys((*a.qubits, *b.qubits)))
    numbers = np.arange(1 << len(qubits))
    diagonal = np.ones(len(numbers), np.complex128)
    for each in (a, b):
        bits = (numbers >> qubits.index(qubit) & 1 for qubit in each.qubits)
        key = sum((values << bit for bit, values in enumerate(bits)), np.zeros_like(numbers))
        diagonal = diagonal * each.diagonal[..., key]
    return Diagonal(qubits, diagonal)


def _opened(operation: Diagonal) -> Diagonal:
    """The controls as qubits like the others."""
    size = operation.diagonal.shape[-1]
    diagonal = np.ones((*operation.diagonal.shape[:-1], size << len(operation.controls)), np.complex128)
    diagonal[..., operation.values * size : (operation.values + 1) * size] = operation.diagonal
    return Diagonal((*operation.qubits, *operation.controls), diagonal)


@dataclass(frozen=True, slots=True)
class Turns:
    """A phase as ``triton_kernels.phase`` wants it: whole parts of a turn, of ``2**bits``."""

    factors: Matrix
    turns: Numbers


def turns(phase: Phase, bits: int) -> Turns:
    side, inside = SIDE_BITS, 2 * SIDE_BITS
    linear, coupling = phase.linear, np.triu(phase.coupling, 1)
    inner = (np.arange(1 << inside)[:, None] >> np.arange(inside) & 1).astype(float)
    angles = inner @ linear[:inside] + ((inner @ coupling[:inside, :inside]) * inner).sum(1)
    outside = len(linear) - inside
    among = np.zeros((OUTER, OUTER))
    among[:outside, :outside] = coupling[inside:, inside:] + np.diag(linear[inside:])
    between = np.zeros((2, 8, OUTER))
    between[:, :side, :outside] = coupling[:inside, inside:].reshape(2, side, outside)
    share = np.concatenate((among.ravel(), between.ravel())) / (2 * np.pi)
    share -= np.floor(share + 0.5)
    return Turns(np.exp(1j * (angles + phase.constant)), np.rint(share * 2.0**bits).astype(np.int64))
