from __future__ import annotations

import random

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2
from qiskit.quantum_info import Operator, Statevector

from qvirt.errors import UsageError
from qvirt.methods.families import _entangler, circuit, families, known_outcomes


def parse(text: str) -> QuantumCircuit:
    """By the standard's own gates alone, so that the text is good for other tools too."""
    return qasm2.loads(text, strict=True)


def probabilities(family: str, qubits: int, seed: int) -> np.ndarray:
    loaded = parse(circuit(family, qubits, seed))
    loaded.remove_final_measurements()
    return Statevector(loaded).probabilities()


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("qubits", [2, 3, 4, 5, 8])
def test_is_valid_openqasm_of_that_many_qubits_all_measured(family: str, qubits: int) -> None:
    loaded = parse(circuit(family, qubits, seed=3))
    assert loaded.num_qubits == loaded.num_clbits == qubits
    assert loaded.count_ops()["measure"] == qubits


@pytest.mark.parametrize("family", families())
def test_same_seed_same_text(family: str) -> None:
    assert circuit(family, 7, seed=5) == circuit(family, 7, seed=5)


@pytest.mark.parametrize("family", sorted(set(families()) - {"ghz", "wstate"}))
def test_another_seed_another_circuit(family: str) -> None:
    bodies = {circuit(family, 21, seed).split("\n", 1)[1] for seed in range(5)}
    assert len(bodies) == 5


@pytest.mark.parametrize("family", ["ghz", "wstate", "qft", "hidden_shift", "grover"])
@pytest.mark.parametrize("qubits", [2, 3, 6, 9])
def test_known_outcomes_are_those_of_the_state(family: str, qubits: int) -> None:
    known = known_outcomes(family, qubits, seed=2)
    found = probabilities(family, qubits, seed=2)
    assert known
    for bits, probability in known.items():
        assert len(bits) == qubits
        assert found[int(bits, 2)] == pytest.approx(probability, abs=1e-9)


@pytest.mark.parametrize("family", ["ghz", "wstate", "hidden_shift"])
def test_known_outcomes_are_all_there_are(family: str) -> None:
    assert sum(known_outcomes(family, 11).values()) == pytest.approx(1)


def test_qft_is_the_fourier_transform_of_its_input() -> None:
    gates = [gate for gate in parse(circuit("qft", 5, seed=4)).data if gate.name != "measure"]
    preparation, transform = QuantumCircuit(5), QuantumCircuit(5)
    for position, gate in enumerate(gates):
        (preparation if position < 10 else transform).append(
            gate.operation, [qubit._index for qubit in gate.qubits]
        )
    wave = Statevector(preparation)
    expected = np.fft.ifft(wave.reverse_qargs().data) * np.sqrt(32)
    assert wave.probabilities() == pytest.approx(np.full(32, 1 / 32))
    assert np.abs(wave.evolve(transform).data - expected).max() < 1e-12


def test_two_qubit_blocks_of_quantum_volume_are_haar_random() -> None:
    """The mean operator entanglement of Haar-random U(4) is 3/5 (Zanardi, arXiv:quant-ph/0010074)."""
    rng = random.Random(7)
    values = []
    for _ in range(2000):
        text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2];' + "".join(_entangler(0, 1, rng))
        gate = Operator(parse(text)).data.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
        weights = np.linalg.svd(gate, compute_uv=False) ** 2 / 4
        values.append(1 - np.sum(weights**2))
    assert np.mean(values) == pytest.approx(3 / 5, abs=5 * np.std(values) / 2000**0.5)


def test_qaoa_graph_is_3_regular() -> None:
    """Two CX an edge and layer, two layers."""
    touched = [0] * 10
    for instruction in parse(circuit("qaoa", 10)).data:
        if instruction.operation.name == "cx":
            for qubit in instruction.qubits:
                touched[qubit._index] += 1
    assert touched == [3 * 2 * 2] * 10


def test_depth_sets_the_number_of_layers() -> None:
    assert parse(circuit("random", 6, depth=9)).count_ops()["u3"] == 54


@pytest.mark.parametrize(
    ("family", "qubits", "depth", "message"),
    [
        ("nonsense", 4, None, "no circuit family"),
        ("ghz", 1, None, "at least two qubits"),
        ("ghz", 4, 3, "no depth"),
        ("random", 4, 0, "at least 1"),
    ],
)
def test_refusals(family: str, qubits: int, depth: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        circuit(family, qubits, depth=depth)
