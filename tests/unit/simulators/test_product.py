"""Circuits without entanglement."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from running import LIMITS, agree, measured, refusal, run, workload

from qvirt.model.run import Noise
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.product import CANDIDATE, ProductSimulator

ENGINE = ProductSimulator()


def _turned(num_qubits: int, seed: int) -> QuantumCircuit:
    generator = np.random.default_rng(seed)
    circuit = QuantumCircuit(num_qubits, global_phase=0.4)
    for _ in range(3 * num_qubits):
        circuit.u(*generator.uniform(0, 6, 3), int(generator.integers(num_qubits)))
    return circuit


def test_states_means_and_chances() -> None:
    circuit = _turned(5, seed=3)
    exact = Statevector(circuit)
    texts = ("ZXYIX", "Z0 + 2*Y3 - 0.5*IIIII")
    outcome = run(ENGINE, measured(circuit), state=True, probabilities=True, observables=texts)
    assert outcome.state is not None and outcome.probabilities is not None
    np.testing.assert_allclose(outcome.state, exact.data, atol=1e-12)
    for found in outcome.expectations:
        expected = exact.expectation_value(parse_observable(found.observable, 5)).real
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert found.standard_error == 0.0
    chances = [outcome.probabilities[key] for key in range(32)]
    np.testing.assert_allclose(chances, exact.probabilities(), atol=1e-12)


def test_counts_follow_the_clbits_and_the_readout_errors() -> None:
    circuit = _turned(3, seed=4)
    read = QuantumCircuit(3, 4)
    read.compose(circuit, inplace=True)
    read.measure([2, 0, 2], [0, 3, 1])
    noise = Noise(readout_0to1=0.05, readout_1to0=0.2)
    outcome = run(ENGINE, read, shots=50_000, noise=noise, probabilities=True, per_shot_memory=True)
    assert outcome.probabilities is not None and outcome.memory is not None
    chances = np.zeros(16)
    chances[list(outcome.probabilities)] = list(outcome.probabilities.values())
    assert agree(dict(outcome.counts), chances)
    assert len(outcome.memory) == 50_000
    assert run(ENGINE, read, shots=50_000, noise=noise).counts == outcome.counts


def test_thousands_of_qubits() -> None:
    circuit = QuantumCircuit(3000)
    circuit.x(range(0, 3000, 2))
    circuit.h(7)
    counts = run(ENGINE, measured(circuit), observables=("Z0 Z1",)).counts
    ones = sum(1 << qubit for qubit in range(0, 3000, 2))
    assert set(counts) == {ones, ones | 1 << 7}


def test_what_it_refuses() -> None:
    circuit = QuantumCircuit(3)
    circuit.cx(0, 2)
    assert "gates join up to 2 qubits" in refusal(ENGINE, measured(circuit))
    assert "no noise on gates" in refusal(ENGINE, measured(_turned(2, 1)), noise=Noise(phase_damping=0.1))
    assert "too large" in refusal(ENGINE, measured(QuantumCircuit(60)), state=True)


def test_a_state_counts_in_the_memory() -> None:
    work = workload(measured(_turned(20, 1)), state=True)
    estimate = ENGINE.estimate(CANDIDATE, work.facts, work.options, LIMITS, ENGINE.constants(CANDIDATE))
    assert estimate.certain
    assert estimate.memory > 2 * 16 << 20
