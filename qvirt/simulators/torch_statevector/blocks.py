"""How large the blocks of the fast path are, and what it takes; nothing here loads torch."""

from __future__ import annotations

from qvirt.model.run import Precision

BLOCK_BITS = 17
"""log2 of the amplitudes of a block in single precision: 1 MiB, and as much for its copy."""

LOW_BITS = 8
"""A phase is the product of one over a block's lowest bits, one over the others, and one over both."""

MOST_STEPS = 16
"""In one sweep: it bounds the tables made for one, and how often a program looks at the clock."""

_INDEX_BYTES = 4
_ANGLE_BYTES = 16


def block_bits(num_qubits: int, precision: Precision, threads: int) -> int:
    """All of a small state; else enough blocks for the threads to share."""
    bits = BLOCK_BITS - (precision is Precision.DOUBLE)
    if num_qubits < bits:
        return num_qubits
    return min(bits, num_qubits - (4 * threads - 1).bit_length())


def work_bytes(num_qubits: int, precision: Precision, threads: int) -> int:
    """Beside the state, at most: two buffers for each thread, for each step of a sweep where amplitudes go
    and the factors of a phase, and the angles of one phase."""
    size = precision.amplitude_bytes
    bits = block_bits(num_qubits, precision, threads)
    low = min(LOW_BITS, bits)
    factors = (1 << bits) + (1 << num_qubits - low) + (1 << num_qubits - bits + low)
    steps = MOST_STEPS * ((_INDEX_BYTES << bits) + size * factors)
    return 2 * threads * (size << bits) + steps + _ANGLE_BYTES * factors
