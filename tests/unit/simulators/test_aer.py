"""What is peculiar to Aer; that its answers are right is tests/conformance/test_simulators.py's."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from running import LIMITS, agree, finish, measured, workload
from scipy.stats import binomtest

from qvirt.errors import EngineFailed, GaveUp, OutOfMemory, Unsupported
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Noise, Precision
from qvirt.simulators.aer import AerSimulator, cost
from qvirt.simulators.aer.cost import BATCH, shot_policy
from qvirt.simulators.contract import Outcome, predicted

AER = AerSimulator()
STATEVECTOR = Candidate("aer", Method.STATEVECTOR, Precision.DOUBLE)
DENSITY_MATRIX = Candidate("aer", Method.DENSITY_MATRIX, Precision.DOUBLE)
MPS = Candidate("aer", Method.MPS, Precision.DOUBLE)
STABILIZER = Candidate("aer", Method.STABILIZER, Precision.DOUBLE)


def run(candidate: Candidate, circuit: QuantumCircuit, limits: Limits = LIMITS, **options: Any) -> Outcome:
    work = workload(circuit, **options)
    assert AER.supports(candidate, work.facts, work.options) is None
    return finish(AER.prepare(candidate, work, limits))


def refusal(candidate: Candidate, circuit: QuantumCircuit, **options: Any) -> str:
    work = workload(circuit, **options)
    reason = AER.supports(candidate, work.facts, work.options)
    assert reason is not None
    return reason


def entangled(qubits: int, layers: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.u(0.3 + qubit, 0.7 * layer, 0.2 + layer * qubit, qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cx(qubit, qubit + 1)
    return circuit


def halves(qubits: int, collapses: int) -> QuantumCircuit:
    """Every bit is a fair coin; ``collapses`` of them are read in the middle."""
    circuit = QuantumCircuit(qubits, qubits + collapses)
    for number in range(collapses):
        circuit.h(range(qubits))
        for qubit in range(qubits - 1):
            circuit.cz(qubit, qubit + 1)
        circuit.measure(0, qubits + number)
        circuit.reset(range(qubits)) if number + 1 == collapses else circuit.h(range(qubits))
    circuit.h(range(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit


def test_the_engine_is_loaded_by_prepare_alone() -> None:
    program = "import sys; from qvirt.simulators.registry import simulators; simulators()['aer'].version()"
    program += "; sys.exit('qiskit_aer' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shots_run_where_memory_holds_the_state_only_once() -> None:
    """Aer by itself runs no shot at all with less than twice the memory of the state."""
    circuit = halves(16, 1)
    limits = Limits(memory=(8 << 20) + (3 << 19), threads=2)
    counts = run(STATEVECTOR, circuit, limits, shots=4).counts
    assert sum(counts.values()) == 4


def test_branches_and_single_shots_agree() -> None:
    circuit = QuantumCircuit(3, 4)
    circuit.ry(0.8, 0)
    circuit.cx(0, 1)
    circuit.measure(0, 3)
    circuit.h(0)
    with circuit.if_test((circuit.clbits[3], 1)):
        circuit.ry(1.3, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    work = workload(circuit, shots=3000)
    assert shot_policy(STATEVECTOR, work.facts, work.options, LIMITS).branched
    branched = finish(AER.prepare(STATEVECTOR, work, LIMITS)).counts
    single = run(MPS, circuit, shots=3000).counts
    shares = np.zeros(16)
    for bits, count in single.items():
        shares[bits] = count / 3000
    assert set(branched) == set(single)
    for bits, count in branched.items():
        assert binomtest(count, 3000, shares[bits]).pvalue > 1e-5


def test_what_a_padding_measurement_reads_is_thrown_away() -> None:
    """Aer samples a branch's last readings only if they are as many as its qubits; two here are not."""
    circuit = QuantumCircuit(4, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.x(range(4))
    circuit.cx(0, 1)
    circuit.measure(2, 1)
    outcome = run(STATEVECTOR, circuit, shots=200, per_shot_memory=True)
    assert set(outcome.counts) == {0b10, 0b11}
    assert outcome.memory is not None
    assert Counter(outcome.memory) == outcome.counts
    assert list(outcome.memory) != sorted(outcome.memory)


def test_many_shots_come_in_batches_that_differ() -> None:
    work = workload(halves(3, 1), shots=2 * BATCH + 10, per_shot_memory=True)
    program = AER.prepare(STATEVECTOR, work, LIMITS)
    assert not program.advance(0.0)
    assert program.fraction == pytest.approx(BATCH / work.options.shots)
    memory = finish(program).memory
    assert memory is not None
    assert len(memory) == work.options.shots
    assert agree(dict(Counter(memory)), np.full(16, 1 / 16))
    assert memory[:BATCH] != memory[BATCH : 2 * BATCH]


def test_seeds_of_one_apart_share_no_shots() -> None:
    """Aer gives shot i the seed + i."""
    circuit = halves(8, 1)
    first, second = (
        run(MPS, circuit, shots=100, seed=seed, per_shot_memory=True).memory or () for seed in (1, 2)
    )
    assert len(set(first) & set(second)) < 60


@pytest.mark.parametrize(
    ("qubits", "collapses", "memory", "branched", "histories"),
    [
        (4, 3, 1 << 30, True, 8),
        (4, 10, 1 << 30, False, 1024),
        (12, 10, 1 << 30, True, 1024),
        (20, 2, 1 << 30, True, 4),
        (20, 10, 1 << 30, True, 31),
        (20, 10, 200 << 20, False, 1024),
    ],
)
def test_histories_share_states_where_it_pays_and_fits(
    qubits: int, collapses: int, memory: int, branched: bool, histories: int
) -> None:
    work = workload(halves(4, 1), shots=1024)
    facts = replace(work.facts, components=(tuple(range(qubits)),), collapses=collapses)
    policy = shot_policy(STATEVECTOR, facts, work.options, Limits(memory, 2))
    assert (policy.branched, policy.histories) == (branched, histories)
    assert policy.batch <= 1024
    asked = replace(work.options, observables=("Z0",))
    assert not shot_policy(STATEVECTOR, facts, asked, Limits(memory, 2)).branched


def test_too_little_memory_is_told_as_that() -> None:
    with pytest.raises(OutOfMemory, match="memory"):
        run(STATEVECTOR, measured(entangled(20, 1)), Limits(memory=4 << 20, threads=1))


def test_a_failure_has_aers_words() -> None:
    from qvirt.simulators.aer.backend import execute

    circuit = QuantumCircuit(1)
    circuit.t(0)
    circuit.measure_all()
    with pytest.raises(EngineFailed, match=r"stabilizer.*\bt\b"):
        execute(circuit, STABILIZER, LIMITS, shots=1, seed=1, threads=1)


def test_a_long_circuit_is_run_in_segments_where_that_is_cheap_and_fits() -> None:
    work = workload(measured(entangled(14, 20)))
    long = replace(work.facts, passes=2_000_000)
    for facts, limits, several in (
        (long, LIMITS, True),
        (work.facts, LIMITS, False),
        (long, replace(LIMITS, memory=3 << 20), False),
    ):
        number = cost.segments(STATEVECTOR, facts, work.options, limits)
        assert (number > 1) is several
        features = cost.features(STATEVECTOR, facts, work.options, limits)
        seconds = predicted(features, cost.CONSTANTS[Method.STATEVECTOR])
        assert number <= max(1, seconds / cost.SEGMENT_SECONDS)


def test_segments_change_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    work = workload(measured(entangled(6, 30)), shots=5000)
    whole = finish(AER.prepare(STATEVECTOR, work, LIMITS)).counts
    monkeypatch.setattr(cost, "SEGMENT_SECONDS", 1e-9)
    monkeypatch.setattr(cost, "MOVING_SHARE", 1e9)
    program = AER.prepare(STATEVECTOR, work, LIMITS)
    assert not program.advance(1e-9)
    assert program.position is not None and program.position.operations_done == 1
    assert finish(program).counts == whole


def test_a_short_circuit_is_run_in_one_go_and_cannot_be_saved() -> None:
    with pytest.raises(Unsupported, match="one go"):
        AER.prepare(STATEVECTOR, workload(measured(entangled(2, 1))), LIMITS).checkpoint()


def test_a_condition_that_aer_cannot_be_told_is_refused() -> None:
    register = ClassicalRegister(3, "c")
    circuit = QuantumCircuit(QuantumRegister(2), register)
    circuit.measure(0, 0)
    with circuit.if_test(expr.equal(expr.shift_right(register, 1), 1)):
        circuit.x(1)
    with pytest.raises(Unsupported, match="shift"):
        run(STATEVECTOR, circuit)


def test_small_amplitudes_are_kept() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(2e-12, 0)
    circuit.ry(2e-6, 1)
    for candidate in (STATEVECTOR, MPS):
        state = run(candidate, measured(circuit), state=True).state
        assert state is not None
        assert state[1] == pytest.approx(1e-12, rel=1e-6)
    outcome = run(DENSITY_MATRIX, measured(circuit), probabilities=True)
    assert outcome.probabilities is not None
    assert outcome.probabilities[2] == pytest.approx(1e-12, rel=1e-6)


def test_the_global_phase_is_kept() -> None:
    circuit = entangled(3, 2)
    circuit.global_phase = 0.7
    states = [run(c, measured(circuit), state=True).state for c in (STATEVECTOR, MPS)]
    assert states[0] is not None
    assert states[1] is not None
    from qiskit.quantum_info import Statevector

    exact = Statevector(circuit).data
    assert np.abs(states[0] - exact).max() < 1e-12
    assert abs(np.vdot(states[1], exact)) == pytest.approx(1.0)


def test_a_matrix_product_state_is_read_exactly() -> None:
    circuit = entangled(8, 8)
    work = workload(measured(circuit), shots=20_000)
    from qiskit.quantum_info import Statevector

    assert agree(dict(finish(AER.prepare(MPS, work, LIMITS)).counts), Statevector(circuit).probabilities())


def test_a_hundred_qubits_and_many_shots() -> None:
    circuit = QuantumCircuit(100)
    circuit.h(0)
    for qubit in range(99):
        circuit.cx(qubit, qubit + 1)
    counts = run(MPS, measured(circuit), shots=100_000).counts
    assert set(counts) == {0, 2**100 - 1}
    assert abs(counts[0] - 50_000) < 1000


def test_a_matrix_product_state_in_pieces_is_the_same() -> None:
    circuit = measured(entangled(9, 12))
    whole = run(MPS, circuit, state=True).state
    work = workload(circuit, state=True)
    program = AER.prepare(MPS, work, replace(LIMITS, seconds=1000.0))
    assert not program.advance(0.0)
    assert 0 < (program.fraction or 0) < 1
    pieces = finish(program).state
    assert whole is not None
    assert pieces is not None
    assert abs(np.vdot(whole, pieces)) == pytest.approx(1.0, abs=1e-9)


def test_a_matrix_product_state_that_would_take_too_long_is_given_up() -> None:
    program = AER.prepare(MPS, workload(measured(entangled(12, 40))), replace(LIMITS, seconds=1e-6))
    with pytest.raises(GaveUp):
        finish(program)


@pytest.mark.parametrize(
    ("candidate", "options", "words"),
    [
        (STABILIZER, {}, "no Clifford"),
        (DENSITY_MATRIX, {"state": True}, "no state vector"),
        (STATEVECTOR, {"probabilities": True, "noise": Noise(depolarizing_1q=0.1)}, "one final state"),
        (Candidate("aer", Method.EXTENDED_STABILIZER, Precision.DOUBLE), {"probabilities": True}, "counts"),
        (
            Candidate("aer", Method.EXTENDED_STABILIZER, Precision.DOUBLE),
            {"noise": Noise(readout_0to1=0.1)},
            "noise",
        ),
    ],
)
def test_refusals(candidate: Candidate, options: dict[str, Any], words: str) -> None:
    assert words in refusal(candidate, measured(entangled(3, 2)), **options)


def test_noise_that_is_no_pauli_is_nothing_for_a_stabilizer() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    assert "damping" in refusal(STABILIZER, measured(circuit), noise=Noise(amplitude_damping=0.1))


def test_sizes_that_no_machine_has_are_refused_and_not_computed() -> None:
    circuit = QuantumCircuit(400)
    circuit.h(range(400))
    for candidate in (STATEVECTOR, DENSITY_MATRIX):
        assert "too many" in refusal(candidate, measured(circuit))


def test_memory_is_forecast_as_measured() -> None:
    """A state of 22 qubits is 64 MiB; what else a run takes was measured to be 1.8."""
    work = workload(measured(entangled(22, 2)))
    for precision, state in ((Precision.DOUBLE, 64 << 20), (Precision.SINGLE, 32 << 20)):
        candidate = replace(STATEVECTOR, precision=precision)
        estimate = AER.estimate(candidate, work.facts, work.options, LIMITS, AER.constants(candidate))
        assert state + (2 << 20) < estimate.memory < state + (3 << 20)
        assert estimate.certain


def test_idle_qubits_cost_nothing() -> None:
    circuit = QuantumCircuit(40, 2)
    circuit.h(3)
    circuit.cx(3, 30)
    circuit.measure([3, 30], [0, 1])
    assert set(run(STATEVECTOR, circuit).counts) == {0, 3}
    assert "state" in refusal(STATEVECTOR, circuit, state=True)


def test_only_a_small_bond_makes_a_matrix_product_state_certain() -> None:
    for layers, certain in ((4, True), (20, False)):
        work = workload(measured(entangled(20, layers)))
        estimate = AER.estimate(MPS, work.facts, work.options, LIMITS, AER.constants(MPS))
        assert estimate.certain is certain
