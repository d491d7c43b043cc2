"""Reading observables."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from qvirt.errors import UsageError
from qvirt.simulators.observables import mean, parse_observable


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ZXI", [("ZXI", 1.0)]),
        ("-ZXI", [("ZXI", -1.0)]),
        ("0.5*ZZI - 1.2*XIY", [("ZZI", 0.5), ("XIY", -1.2)]),
        (" 2 III+.5e-1*ZZZ ", [("III", 2.0), ("ZZZ", 0.05)]),
        ("Z0 X2", [("XIZ", 1.0)]),
        ("Z0*X2 - 3*Y1", [("XIZ", 1.0), ("IYI", -3.0)]),
        ("ZZI + ZZI", [("ZZI", 2.0)]),
        ("1e-20*ZZI", [("ZZI", 1e-20)]),
    ],
)
def test_reads(text: str, terms: list[tuple[str, float]]) -> None:
    found = parse_observable(text, 3)
    assert sorted(found.to_list()) == sorted(SparsePauliOp.from_list(terms).to_list())


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "expected a Pauli string"),
        ("ZZ", 1, "ZZ has 2 letters and the circuit 3 qubits"),
        ("ZZI + ZZZZ", 7, "ZZZZ has 4 letters"),
        ("ZZI ZZI", 5, "expected + or -"),
        ("ZZI + ", 5, "expected a Pauli string"),
        ("ABC", 1, "expected a Pauli string"),
        ("zzi", 1, "expected a Pauli string"),
        ("Z0 Z3", 4, "qubits 0 to 2"),
        ("Z0 X0", 4, "qubit 0 stands twice"),
        ("Z99999999999999999999", 1, "qubits 0 to 2"),
        ("1e999*ZZI", 1, "too large"),
        ("nan*ZZI", 1, "expected a Pauli string"),
        ("1j*ZZI", 1, "expected a Pauli string"),
    ],
)
def test_refuses_with_the_column(text: str, column: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_observable(text, 3)
    assert f"column {column}:" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_long_observables_are_read_in_linear_time() -> None:
    assert parse_observable(" + ".join(["1.5*" + "Z" * 200] * 2000), 200).to_list() == [("Z" * 200, 3000.0)]


@pytest.mark.parametrize("num_qubits", [1, 3, 18])
def test_means_are_those_of_qiskit(num_qubits: int) -> None:
    state = random_statevector(2**num_qubits, seed=1).data
    letters = np.random.default_rng(1).choice(list("IXYZ"), (5, num_qubits))
    observable = SparsePauliOp(["".join(word) for word in letters], [1.0, -0.5, 2.0, 3.0, 0.25])
    expected = Statevector(state).expectation_value(observable).real
    assert mean(state, observable) == pytest.approx(expected, abs=1e-12)
    assert mean((3 * state).astype(np.complex64), observable) == pytest.approx(expected, abs=1e-6)
