"""Stim: Clifford gates by any name, noise, feedback and branches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit.circuit.library import CUGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import DensityMatrix, Kraus, Statevector, random_clifford
from running import LIMITS, agree, finish, measured, refusal, run, workload

from qvirt.circuits.clifford import is_clifford
from qvirt.model.run import Noise
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.stim import StimSimulator
from qvirt.simulators.stim.program import BranchedProgram, SampledProgram
from qvirt.simulators.stim.simulator import CANDIDATE

ENGINE = StimSimulator()
GATES = get_standard_gate_name_mapping()


def _clifford(num_qubits: int, seed: int) -> QuantumCircuit:
    return random_clifford(num_qubits, seed=seed).to_circuit()


def _with_every_gate() -> QuantumCircuit:
    """All the standard gates that are Clifford gates at angles pi/2, pi, -pi/2 ..., on some qubits."""
    circuit = _clifford(4, seed=1)
    generator = np.random.default_rng(2)
    for name, known in GATES.items():
        for turns in ((1, 2, 3), (-1, 5, 2), (2, 2, 2), (4, 4, 4, 4)):
            if known.num_qubits not in (1, 2) or name in ("measure", "reset", "delay"):
                continue
            if len(known.params) > len(turns):
                continue
            gate = known.base_class(*(turn * math.pi / 2 for turn in turns[: len(known.params)]))
            qubits = generator.permutation(4)[: known.num_qubits].tolist()
            trial = QuantumCircuit(4)
            trial.append(gate, qubits)
            if is_clifford(trial.data[0]):
                circuit.compose(trial, inplace=True)
    circuit.append(CUGate(math.pi, math.pi / 2, -math.pi / 2, 0.0), [2, 1])
    circuit.append(UnitaryGate(random_clifford(2, seed=8).to_matrix()), [3, 0])
    circuit.rx(math.pi / 2 + 5e-9, 1)
    return circuit


def test_every_clifford_gate_is_qiskits() -> None:
    circuit = _with_every_gate()
    assert len(circuit.count_ops()) > 30
    outcome = run(ENGINE, measured(circuit), state=True)
    assert outcome.state is not None
    assert abs(np.vdot(outcome.state, Statevector(circuit).data)) == pytest.approx(1.0, abs=1e-7)
    assert np.linalg.norm(outcome.state) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("num_qubits", [1, 2, 6])
def test_counts_means_and_chances(num_qubits: int) -> None:
    circuit = _clifford(num_qubits, seed=num_qubits)
    exact = Statevector(circuit)
    generator = np.random.default_rng(1)
    words = ["".join(word) for word in generator.choice(list("IXYZ"), (20, num_qubits))]
    fixed = [label.lstrip("+-") for label in random_clifford(num_qubits, seed=num_qubits).to_labels(mode="S")]
    sums = " + ".join(f"{k}*{word}" for k, word in enumerate([*words, *fixed], 1))
    outcome = run(
        ENGINE,
        measured(circuit),
        shots=20_000,
        probabilities=True,
        observables=(*fixed, sums, "I" * num_qubits),
    )
    assert agree(dict(outcome.counts), exact.probabilities())
    assert outcome.probabilities is not None
    chances = np.zeros(2**num_qubits)
    chances[list(outcome.probabilities)] = list(outcome.probabilities.values())
    np.testing.assert_allclose(chances, exact.probabilities(), atol=1e-12)
    for found in outcome.expectations:
        expected = exact.expectation_value(parse_observable(found.observable, num_qubits)).real
        assert found.value == pytest.approx(expected, abs=1e-9)
    assert run(ENGINE, measured(circuit), shots=20_000).counts == outcome.counts


def _noisy(circuit: QuantumCircuit, noise: Noise) -> DensityMatrix:
    """The channels as Noise defines them, by Qiskit."""
    state = DensityMatrix.from_label("0" * circuit.num_qubits)
    kept, lost = math.sqrt(1 - noise.phase_damping), math.sqrt(noise.phase_damping)
    dephasing = Kraus([np.diag([1, kept]), np.diag([0, lost])])
    for step in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
        state = state.evolve(step.operation, qubits)
        rate = noise.depolarizing_1q if len(qubits) == 1 else noise.depolarizing_2q
        dimension = 2 ** len(qubits)
        paulis = [
            np.array(m) for m in ([[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]])
        ]
        products = paulis if len(qubits) == 1 else [np.kron(a, b) for a in paulis for b in paulis]
        weights = [math.sqrt(rate) / dimension] * len(products)
        weights[0] = math.sqrt(1 - rate + rate / dimension**2)
        state = state.evolve(Kraus([w * p for w, p in zip(weights, products, strict=True)]), qubits)
        for qubit in qubits:
            state = state.evolve(dephasing, [qubit])
    return state


def test_noise_is_what_it_says() -> None:
    circuit = _clifford(3, seed=11)
    noise = Noise(depolarizing_1q=0.02, depolarizing_2q=0.1, phase_damping=0.05)
    exact = _noisy(circuit, noise)
    texts = ("XXX", "ZIZ", "YXI", "0.5*ZZZ - 2*XYZ + III", "IXX + ZIY")
    outcome = run(ENGINE, measured(circuit), shots=100_000, noise=noise, observables=texts)
    assert agree(dict(outcome.counts), exact.probabilities())
    for found in outcome.expectations:
        expected = exact.expectation_value(parse_observable(found.observable, 3)).real
        assert found.value == pytest.approx(expected, abs=1e-9)
        assert found.standard_error == 0.0


def test_readout_errors() -> None:
    noise = Noise(readout_0to1=0.1, readout_1to0=0.3)
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure([0, 1], [2, 0])
    outcome = run(ENGINE, circuit, shots=40_000, noise=noise, probabilities=True)
    chances = np.array([0.3 * 0.9, 0.3 * 0.1, 0, 0, 0.7 * 0.9, 0.7 * 0.1, 0, 0])
    assert agree(dict(outcome.counts), chances)
    assert outcome.probabilities == pytest.approx({0: 0.27, 1: 0.03, 4: 0.63, 5: 0.07})


def test_a_thousand_qubits() -> None:
    circuit = QuantumCircuit(1000)
    circuit.h(0)
    for qubit in range(999):
        circuit.cx(qubit, qubit + 1)
    outcome = run(ENGINE, measured(circuit), shots=20_000, observables=("X" * 1000, "Z0 Z999", "Z5"))
    assert set(outcome.counts) == {0, 2**1000 - 1}
    assert [found.value for found in outcome.expectations] == [1, 1, 0]


def _teleported() -> QuantumCircuit:
    qubits, first, second = QuantumRegister(3), ClassicalRegister(2), ClassicalRegister(1)
    circuit = QuantumCircuit(qubits, first, second)
    circuit.x(0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], first)
    with circuit.if_test((first[1], 0)) as otherwise:
        circuit.id(2)
    with otherwise:
        circuit.x(2)
    with circuit.if_test(expr.lift(first[0])):
        circuit.z(2)
    with circuit.if_test((second, 0)):
        circuit.x(2)
        circuit.x(2)
    circuit.measure(2, second)
    return circuit


def test_feedback_is_stims_own() -> None:
    work = workload(_teleported(), shots=20_000)
    program = ENGINE.prepare(CANDIDATE, work, LIMITS)
    assert isinstance(program, SampledProgram)
    assert agree(dict(finish(program).counts), np.array([0, 0, 0, 0, 1, 1, 1, 1]) / 4)


def test_other_conditions_take_branches() -> None:
    register = ClassicalRegister(3)
    circuit = QuantumCircuit(QuantumRegister(4), register)
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 2])
    with circuit.if_test((register, 0b101)) as otherwise:
        circuit.x(2)
        circuit.cx(2, 3)
    with otherwise:
        circuit.h(3)
    circuit.reset(0)
    circuit.swap(3, 1)
    circuit.measure([2, 1], [0, 1])
    work = workload(circuit, shots=40_000, per_shot_memory=True)
    program = ENGINE.prepare(CANDIDATE, work, LIMITS)
    assert isinstance(program, BranchedProgram)
    outcome = finish(program)
    chances = np.zeros(8)
    chances[0b111] = 1 / 4
    for bit_2, ways in ((0, 2), (1, 1)):
        for bit_1 in (0, 1):
            chances[bit_2 << 2 | bit_1 << 1] = ways / 8
    assert agree(dict(outcome.counts), chances)
    assert outcome.memory is not None and len(set(outcome.memory[:100])) > 2
    assert run(ENGINE, circuit, shots=40_000).counts == outcome.counts


def test_a_misread_bit_misleads_the_condition() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    counts = run(ENGINE, circuit, shots=40_000, noise=Noise(readout_0to1=0.2)).counts
    assert agree(dict(counts), np.array([0.8 * 0.8, 0.0, 0.8 * 0.2, 0.2]))


def test_measured_again_after_a_reset() -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.measure(0, 1)
    circuit.x(0)
    circuit.measure(0, 1)
    assert agree(dict(run(ENGINE, circuit, shots=10_000).counts), np.array([0, 0, 0.5, 0.5]))


def test_what_it_refuses() -> None:
    circuit = QuantumCircuit(2)
    circuit.t(0)
    circuit.h(1)
    assert "1 of the 2 gates are no Clifford gates" in refusal(ENGINE, measured(circuit))
    plain = measured(QuantumCircuit(1))
    assert "no Pauli noise" in refusal(ENGINE, plain, noise=Noise(amplitude_damping=0.1))
    noise = Noise(depolarizing_1q=0.1)
    assert "under conditions" in refusal(ENGINE, _teleported(), noise=noise)
    assert "noisy" in refusal(ENGINE, plain, noise=noise, probabilities=True)
    assert "end with their measurements" in refusal(ENGINE, _teleported(), observables=("ZZZ",))
    assert "up to" in refusal(ENGINE, measured(QuantumCircuit(40)), state=True)
