"""Observables as a user writes them: Pauli strings and real sums of them."""

from __future__ import annotations

import math
import re

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
