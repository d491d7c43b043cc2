"""Reading observables."""

from __future__ import annotations

import pytest
from qiskit.quantum_info import SparsePauliOp

from qvirt.errors import UsageError
from qvirt.simulators.observables import parse_observable


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
