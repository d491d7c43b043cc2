"""Observables as a user writes them: Pauli strings and real sums of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from qvirt.errors import UsageError

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SPARSE = r"[IXYZ]\d+(?:[\s*]*[IXYZ]\d+)*"
_TERM = re.compile(
    rf"\s*(?:(?P<sign>[+-])\s*)?(?:(?P<factor>{_NUMBER})\s*(?:\*\s*)?)?"
    rf"(?:(?P<sparse>{_SPARSE})|(?P<dense>[IXYZ]+))\s*"
)
_HINT = "write Pauli strings and sums of them: ZZI, 0.5*ZZ - 1.2*XI, or by qubit number Z0 Z3"


def parse_observable(text: str, num_qubits: int) -> SparsePauliOp:
    """``"ZZI"``, ``"0.5*ZZ - 1.2*XI"``, ``"Z0 Z3 + 2*X1"``; the rightmost letter of a string is qubit 0.

    Raises UsageError naming the column (from 1) of what cannot be read or does not fit ``num_qubits``.
    """
    terms: list[tuple[str, list[int], float]] = []
    position = 0
    while position < len(text) or not terms:
        match = _TERM.match(text, position)
        if match is None or (terms and not match["sign"]):
            expected = "a Pauli string" if match is None else "+ or -"
            raise _unreadable(text, len(text) - len(text[position:].lstrip()), f"expected {expected}")
        factor = float(match["factor"] or 1.0) * (-1.0 if match["sign"] == "-" else 1.0)
        if not math.isfinite(factor):
            raise _unreadable(text, match.start("factor"), "the factor is too large")
        letters, qubits = _sparse(match, num_qubits) if match["sparse"] else _dense(match, num_qubits)
        terms.append((letters, qubits, factor))
        position = match.end()
    return SparsePauliOp.from_sparse_list(terms, num_qubits).simplify(atol=0, rtol=0)


def mean(state: NDArray[Any], observable: SparsePauliOp) -> float:
    """The expectation value in ``state``, whose norm need not be 1.

    Worked through in blocks and in double precision, so that a large state of single precision is
    never copied whole. A Pauli string P with X on the bits of x and Z on those of z takes basis state i
    to i XOR x, with the sign of the parity of i AND z, and i for each Y.
    """
    size = min(len(state), 1 << 16)
    blocks = state.reshape(-1, size)
    places = np.arange(size)
    total = 0.0
    for x, z, factor in _masks(observable):
        moved, signs = places ^ x % size, 1.0 - 2.0 * _parity(places & z % size)
        for number, block in enumerate(blocks):
            other = blocks[number ^ x // size][moved].conj()
            sign = -1.0 if (number & z // size).bit_count() & 1 else 1.0
            # Not np.vdot: its threads wait for one another where other processes use the cores.
            total += sign * (factor * np.einsum("i,i,i", other, signs, block)).real
    norm = sum(float(np.einsum("i,i->", part, part, dtype=np.float64)) for part in (state.real, state.imag))
    return total / norm


def _masks(observable: SparsePauliOp) -> Iterator[tuple[int, int, complex]]:
    for x, z, coefficient in zip(observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True):
        yield _integer(x), _integer(z), complex(coefficient) * 1j ** int(np.sum(x & z))


def _integer(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _parity(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    for shift in (8, 4, 2, 1):
        numbers = numbers ^ numbers >> shift
    return numbers & 1


def _dense(match: re.Match[str], num_qubits: int) -> tuple[str, list[int]]:
    word = match["dense"]
    if len(word) != num_qubits:
        raise _unreadable(
            match.string,
            match.start("dense"),
            f"{word} has {len(word)} letters and the circuit {num_qubits} qubits",
            hint="one letter a qubit, I where nothing is measured, qubit 0 rightmost; or by number: Z0 Z3",
        )
    return word, list(range(num_qubits - 1, -1, -1))


def _sparse(match: re.Match[str], num_qubits: int) -> tuple[str, list[int]]:
    letters, qubits = "", []
    for factor in re.finditer(r"([IXYZ])(\d+)", match["sparse"]):
        qubit = int(factor[2]) if len(factor[2]) < 10 else num_qubits
        place = match.start("sparse") + factor.start()
        if qubit >= num_qubits:
            raise _unreadable(match.string, place, f"the circuit has qubits 0 to {num_qubits - 1}")
        if qubit in qubits:
            raise _unreadable(match.string, place, f"qubit {qubit} stands twice in one term")
        letters += factor[1]
        qubits.append(qubit)
    return letters, qubits


def _unreadable(text: str, position: int, reason: str, hint: str = _HINT) -> UsageError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UsageError(f"observable {shown!r}, column {position + 1}: {reason}", hint=hint)
