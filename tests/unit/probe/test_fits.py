"""How many qubits fit: exactly at, just above and just below each bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvirt.model.run import Method, Precision
from qvirt.probe.fits import PROCESS_MEMORY, largest, largest_qubits, state_bytes

BOUNDED = (Method.STATEVECTOR, Method.DENSITY_MATRIX, Method.STABILIZER)
GIB = 1 << 30


@given(st.sampled_from(BOUNDED), st.sampled_from(Precision), st.integers(16, 1 << 60))
def test_the_largest_fits_and_one_more_does_not(method: Method, precision: Precision, memory: int) -> None:
    qubits = largest_qubits(method, memory, precision)
    assert qubits is not None
    assert (state_bytes(method, qubits, precision) or 0) <= memory
    assert (state_bytes(method, qubits + 1, precision) or 0) > memory


@pytest.mark.parametrize(
    ("method", "precision", "memory", "qubits"),
    [
        (Method.STATEVECTOR, Precision.DOUBLE, 16 * GIB, 30),
        (Method.STATEVECTOR, Precision.DOUBLE, 16 * GIB - 1, 29),
        (Method.STATEVECTOR, Precision.SINGLE, 16 * GIB, 31),
        (Method.DENSITY_MATRIX, Precision.DOUBLE, 16 * GIB, 15),
        (Method.DENSITY_MATRIX, Precision.SINGLE, 8 * GIB, 15),
    ],
)
def test_known_sizes(method: Method, precision: Precision, memory: int, qubits: int) -> None:
    assert largest_qubits(method, memory, precision) == qubits


def test_a_tableau_has_two_rows_a_qubit_of_two_bits_a_qubit_and_a_sign() -> None:
    qubits = 1000
    assert state_bytes(Method.STABILIZER, qubits) == 2 * qubits * (2 * qubits + 1) // 8


def test_no_memory_is_no_qubits() -> None:
    assert [largest_qubits(method, -1) for method in BOUNDED] == [0, 0, 0]


def test_every_method_has_a_line_and_a_note() -> None:
    fits = largest(16 * GIB + PROCESS_MEMORY)
    assert {fit.method for fit in fits} == set(Method)
    assert all(fit.note for fit in fits)
    assert [fit.qubits for fit in fits if fit.method is Method.STATEVECTOR] == [31, 30]
    assert [fit.qubits for fit in fits if fit.method is Method.MPS] == [None]
