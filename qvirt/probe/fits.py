"""The largest circuit that each method can hold in some memory."""

from __future__ import annotations

from math import isqrt

from qvirt.model.hardware import Largest
from qvirt.model.run import Method, Precision

PROCESS_MEMORY = 256 << 20
"""Bytes that Python, the parser and an engine take beside the state."""


def state_bytes(method: Method, qubits: int, precision: Precision = Precision.DOUBLE) -> int | None:
    """Bytes of a method's state alone; None where that depends on more than the number of qubits."""
    if method is Method.STATEVECTOR:
        return precision.amplitude_bytes << qubits
    if method is Method.DENSITY_MATRIX:
        return precision.amplitude_bytes << 2 * qubits
    if method is Method.STABILIZER:
        # A tableau: 2n rows of 2n + 1 bits (Aaronson and Gottesman, quant-ph/0406196).
        return qubits * (2 * qubits + 1) // 4
    if method is Method.PRODUCT:
        return 2 * precision.amplitude_bytes * qubits
    return None


def largest_qubits(method: Method, memory: int, precision: Precision = Precision.DOUBLE) -> int | None:
    """The most qubits whose state takes at most ``memory`` bytes; None where memory is not what limits it."""
    memory = max(0, memory)
    amplitude_bits = (memory // precision.amplitude_bytes).bit_length()
    if method is Method.STATEVECTOR:
        return max(0, amplitude_bits - 1)
    if method is Method.DENSITY_MATRIX:
        return max(0, amplitude_bits - 1) // 2
    if method is Method.STABILIZER:
        qubits = isqrt(2 * memory)
        return qubits if qubits * (2 * qubits + 1) // 4 <= memory else qubits - 1
    return None


_DENSE = (Method.STATEVECTOR, Method.DENSITY_MATRIX)
_CHOSEN = (Precision.SINGLE, Precision.DOUBLE)
"""Precisions that a run may have without asking for one."""

_NOTES = {
    Method.STATEVECTOR: "any circuit",
    Method.DENSITY_MATRIX: "any circuit, noise exact",
    Method.STABILIZER: "Clifford gates only",
    Method.PRODUCT: "any number, no entangling gates",
    Method.EXTENDED_STABILIZER: "depends on the non-Clifford gates",
    Method.MPS: "depends on entanglement",
    Method.DECISION_DIAGRAM: "depends on the state's structure",
    Method.SPLIT: "as its largest independent part",
}


def largest(memory: int) -> tuple[Largest, ...]:
    """For each method and precision what fits in ``memory`` bytes, of which the process itself takes some."""
    free = memory - PROCESS_MEMORY
    return tuple(
        Largest(method, precision, largest_qubits(method, free, precision or Precision.DOUBLE), note)
        for method, note in _NOTES.items()
        for precision in (_CHOSEN if method in _DENSE else (None,))
    )
