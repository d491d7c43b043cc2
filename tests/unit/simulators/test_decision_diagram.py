"""Decision diagrams: gates and their order, swaps, branches, giving up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit.circuit.library import MCXGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector, random_unitary
from running import LIMITS, agree, finish, measured, refusal, run, workload

from qvirt.errors import GaveUp, OutOfMemory
from qvirt.model.run import Limits, Noise
from qvirt.simulators.decision_diagram import DecisionDiagramSimulator
from qvirt.simulators.decision_diagram.diagram import BASIS
from qvirt.simulators.decision_diagram.simulator import CANDIDATE, MOST_QUBITS
from qvirt.simulators.observables import parse_observable

ENGINE = DecisionDiagramSimulator()


def _scrambled(num_qubits: int, seed: int) -> QuantumCircuit:
    generator = np.random.default_rng(seed)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.u(*generator.uniform(0, 6, 3), qubit)
        circuit.cx(qubit, (qubit + 1) % num_qubits)
    return circuit


def _grover(num_qubits: int, rounds: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits)
    flip = MCXGate(num_qubits - 1)
    circuit.h(range(num_qubits))
    for _ in range(rounds):
        for inverted in (False, True):
            if inverted:
                circuit.h(range(num_qubits))
                circuit.x(range(num_qubits))
            circuit.h(num_qubits - 1)
            circuit.append(flip, range(num_qubits))
            circuit.h(num_qubits - 1)
            if inverted:
                circuit.x(range(num_qubits))
                circuit.h(range(num_qubits))
    return circuit


@pytest.mark.parametrize("name", [*sorted(set(get_standard_gate_name_mapping()) & BASIS), "unitary"])
def test_every_gate_is_qiskits(name: str) -> None:
    if name == "unitary":
        gate = UnitaryGate(random_unitary(4, seed=3))
    else:
        known = get_standard_gate_name_mapping()[name]
        gate = known.base_class(*(0.3 + 0.2 * i for i in range(len(known.params))))
    circuit = _scrambled(4, seed=1)
    circuit.append(gate, [2, 0, 3, 1][: gate.num_qubits])
    state = run(ENGINE, measured(circuit), state=True).state
    assert state is not None
    np.testing.assert_allclose(state, Statevector(circuit).data, atol=1e-10)


@pytest.mark.parametrize("num_qubits", [1, 2, 5, 8])
def test_states_means_and_chances(num_qubits: int) -> None:
    circuit = random_circuit(num_qubits, 8, max_operands=min(num_qubits, 4), seed=num_qubits)
    circuit.global_phase = 0.7
    if num_qubits > 4:
        circuit.mcx([0, 3, 1], 4)
        circuit.swap(0, 4)
        circuit.mcp(0.4, [4, 2], 0)
    exact = Statevector(circuit)
    texts = ("X0", "0.5*Z0 - 2*" + "Y" * num_qubits, "I" * num_qubits)
    outcome = run(ENGINE, measured(circuit), state=True, probabilities=True, observables=texts, shots=20_000)
    assert outcome.state is not None and outcome.probabilities is not None
    np.testing.assert_allclose(outcome.state, exact.data, atol=1e-9)
    for found in outcome.expectations:
        expected = exact.expectation_value(parse_observable(found.observable, num_qubits)).real
        assert found.value == pytest.approx(expected, abs=1e-9)
    chances = np.zeros(2**num_qubits)
    chances[list(outcome.probabilities)] = list(outcome.probabilities.values())
    np.testing.assert_allclose(chances, exact.probabilities(), atol=1e-9)
    assert agree(dict(outcome.counts), exact.probabilities())


def test_clbits_swaps_and_readout_errors() -> None:
    circuit = random_circuit(4, 5, max_operands=2, seed=3)
    circuit.swap(2, 1)
    circuit.cx(1, 3)
    noise = Noise(readout_0to1=0.1, readout_1to0=0.2)
    read = QuantumCircuit(4, 5)
    read.compose(circuit, inplace=True)
    read.measure([2, 0, 3], [0, 4, 1])
    outcome = run(ENGINE, read, shots=20_000, probabilities=True, per_shot_memory=True, noise=noise)
    clean = run(ENGINE, read, probabilities=True).probabilities
    assert outcome.probabilities is not None and outcome.memory is not None and clean is not None
    exact = Statevector(circuit).probabilities([2, 3, 0])
    for key in range(8):
        clbits = key & 3 | (key >> 2) << 4
        assert clean.get(clbits, 0.0) == pytest.approx(exact[key], abs=1e-9)
    chances = np.zeros(32)
    chances[list(outcome.probabilities)] = list(outcome.probabilities.values())
    assert agree(dict(outcome.counts), chances)
    assert len(outcome.memory) == 20_000
    assert run(ENGINE, read, shots=20_000, noise=noise).counts == outcome.counts


def test_a_hundred_qubits() -> None:
    circuit = QuantumCircuit(100)
    circuit.h(0)
    for qubit in range(99):
        circuit.cx(qubit, qubit + 1)
    outcome = run(ENGINE, measured(circuit), shots=10_000, observables=("X" * 100, "Z0 Z99", "Z5"))
    assert set(outcome.counts) == {0, 2**100 - 1}
    assert [found.value for found in outcome.expectations] == pytest.approx([1, 1, 0], abs=1e-9)
    few = QuantumCircuit(100, 2)
    few.compose(circuit, inplace=True)
    few.measure([7, 93], [1, 0])
    assert run(ENGINE, few, probabilities=True).probabilities == pytest.approx({0: 0.5, 3: 0.5})


def test_what_a_state_vector_takes_long_for() -> None:
    rounds = 30
    counts = run(ENGINE, measured(_grover(18, rounds)), shots=100_000).counts
    chance = math.sin((2 * rounds + 1) * math.asin(2**-9)) ** 2
    assert counts[2**18 - 1] == pytest.approx(100_000 * chance, abs=5 * math.sqrt(100_000 * chance))


def test_a_checkpoint_goes_on_where_it_was() -> None:
    circuit = measured(random_circuit(6, 12, max_operands=3, seed=8))
    circuit.global_phase = 0.1
    work = workload(circuit)
    program = ENGINE.prepare(CANDIDATE, work, LIMITS)
    while program.fraction < 0.5:
        assert not program.advance(1e-9)
    later = ENGINE.prepare(CANDIDATE, work, LIMITS, program.checkpoint())
    assert later.fraction == program.fraction
    assert finish(later).counts == finish(program).counts


def test_it_sees_that_it_is_hopeless() -> None:
    work = workload(measured(random_circuit(14, 40, max_operands=2, seed=1)))
    program = ENGINE.prepare(CANDIDATE, work, Limits(memory=1 << 30, threads=1, seconds=0.01))
    with pytest.raises(GaveUp, match=r"at its pace"):
        finish(program)
    assert program.fraction < 0.5


def test_it_stays_within_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qvirt.simulators.decision_diagram.program._LOOK_EVERY", 0.0)
    work = workload(measured(random_circuit(12, 40, max_operands=2, seed=1)))
    program = ENGINE.prepare(CANDIDATE, work, Limits(memory=500_000, threads=1))
    with pytest.raises(OutOfMemory, match="nodes"):
        finish(program)
    assert program.nodes > 500


def _teleported(angle: float) -> QuantumCircuit:
    qubits, first, second = QuantumRegister(3), ClassicalRegister(2), ClassicalRegister(1)
    circuit = QuantumCircuit(qubits, first, second)
    circuit.ry(angle, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], first)
    with circuit.if_test((first[1], 1)):
        circuit.x(2)
    with circuit.if_test((first[0], 1)):
        circuit.z(2)
    circuit.measure(2, second)
    return circuit


def test_teleportation() -> None:
    one = math.sin(0.4) ** 2
    counts = run(ENGINE, _teleported(0.8), shots=40_000).counts
    expected = np.array([(1 - one, one)[key >> 2] / 4 for key in range(8)])
    assert agree(dict(counts), expected)


def test_branches_of_every_kind_of_condition() -> None:
    register = ClassicalRegister(3)
    circuit = QuantumCircuit(QuantumRegister(4), register)
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 2])
    with circuit.if_test((register, 0b101)) as otherwise:
        circuit.x(2)
        with circuit.if_test(expr.lift(register[0])):
            circuit.swap(2, 3)
    with otherwise, circuit.if_test(expr.logic_and(register[0], expr.less(register, 4))):
        circuit.x([2, 3])
    circuit.reset(0)
    circuit.measure(0, 1)
    circuit.measure([2, 3], [0, 2])
    counts = run(ENGINE, circuit, shots=40_000, per_shot_memory=True)
    # Read 00 or 10 in (bit 2, bit 0): nothing; 01: both set; 11: only qubit 3.
    assert agree(dict(counts.counts), np.array([0.5, 0, 0, 0, 0.25, 0.25, 0, 0]))
    assert counts.memory is not None and len(set(counts.memory[:50])) > 1


def test_a_misread_bit_misleads_the_condition() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    counts = run(ENGINE, circuit, shots=40_000, noise=Noise(readout_0to1=0.2)).counts
    assert agree(dict(counts), np.array([0.8 * 0.8, 0.0, 0.8 * 0.2, 0.2]))


def test_branches_share_what_the_shots_have_in_common() -> None:
    """Ten measurements of qubits in |0> and |1> give one history, whatever the number of shots."""
    circuit = QuantumCircuit(10, 10)
    circuit.x(range(0, 10, 2))
    for qubit in range(10):
        circuit.measure(qubit, qubit)
        circuit.reset(qubit)
    circuit.h(0)
    counts = run(ENGINE, circuit, shots=1_000_000).counts
    assert dict(counts) == {0b0101010101: 1_000_000}


def test_what_it_refuses() -> None:
    circuit = measured(QuantumCircuit(2))
    assert "no noise on gates" in refusal(ENGINE, circuit, noise=Noise(depolarizing_1q=0.1))
    assert "qubits" in refusal(ENGINE, QuantumCircuit(MOST_QUBITS + 1, 1))
    circuit.x(0)
    assert "end with their measurements" in refusal(ENGINE, circuit, observables=("ZZ",))
    looped = QuantumCircuit(1, 1)
    with looped.while_loop((looped.clbits[0], 0)):
        looped.h(0)
        looped.measure(0, 0)
    assert "while_loop" in refusal(ENGINE, looped)
