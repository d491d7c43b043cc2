"""qsim: its bit order, many controls, pieces, limits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import C3SXGate, C3XGate, DiagonalGate, RXGate, UnitaryGate, XGate
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector, random_unitary
from running import LIMITS, agree, finish, measured, refusal, run, workload

from qvirt.model.run import Limits, Noise
from qvirt.simulators.qsim import QsimSimulator
from qvirt.simulators.qsim import program as running_qsim
from qvirt.simulators.qsim.simulator import CANDIDATE

pytest.importorskip("qsimcirq", reason="qsim is not installed", exc_type=ModuleNotFoundError)

ENGINE = QsimSimulator()


def _many_controls() -> QuantumCircuit:
    circuit = random_circuit(8, 4, max_operands=3, seed=5)
    circuit.mcx([0, 1, 2, 3, 5, 6], 7)
    circuit.append(XGate().control(5, ctrl_state=3), [0, 4, 3, 2, 1, 7])
    circuit.append(RXGate(0.3).control(4, ctrl_state=5), [6, 2, 3, 4, 1])
    circuit.mcp(0.3, [0, 1, 2], 3)
    circuit.append(C3XGate(), [7, 2, 4, 1])
    circuit.append(C3SXGate(), [1, 5, 4, 0])
    circuit.rcccx(1, 0, 2, 5)
    circuit.append(DiagonalGate(np.exp(1j * np.arange(8))), [4, 0, 6])
    circuit.append(UnitaryGate(random_unitary(64, seed=1)), [3, 7, 1, 0, 5, 2])
    return circuit


@pytest.mark.parametrize(
    "circuit",
    [*(random_circuit(n, 8, max_operands=min(n, 4), seed=n) for n in (1, 2, 5, 17)), _many_controls()],
    ids=["1", "2", "5", "17", "many controls"],
)
def test_states_means_and_chances(circuit: QuantumCircuit) -> None:
    circuit.global_phase = 0.7
    n = circuit.num_qubits
    outcome = run(
        ENGINE, measured(circuit), state=True, probabilities=True, observables=("X0", "0.5*Z0 - 2*" + "Y" * n)
    )
    exact = Statevector(circuit)
    assert outcome.state is not None and outcome.probabilities is not None
    assert outcome.state.dtype == np.complex128
    np.testing.assert_allclose(outcome.state, exact.data, atol=3e-6)
    chances = np.zeros(2**n)
    chances[list(outcome.probabilities)] = list(outcome.probabilities.values())
    np.testing.assert_allclose(chances, exact.probabilities(), atol=3e-6)
    y = exact.expectation_value(_pauli("Y" * n)).real
    z = exact.expectation_value(_pauli("I" * (n - 1) + "Z")).real
    assert outcome.expectations[1].value == pytest.approx(0.5 * z - 2 * y, abs=1e-5)


def test_large_unitaries_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_qsim, "_LARGEST_MATRIX", 2)
    circuit = QuantumCircuit(4)
    circuit.append(UnitaryGate(random_unitary(8, seed=2)), [3, 1, 0])
    outcome = run(ENGINE, measured(circuit), state=True)
    assert outcome.state is not None
    np.testing.assert_allclose(outcome.state, Statevector(circuit).data, atol=3e-6)


def _pauli(text: str) -> object:
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp(text)


def test_counts_follow_the_state_and_the_clbits() -> None:
    circuit = random_circuit(4, 5, max_operands=2, seed=3)
    exact = Statevector(circuit).probabilities([2, 0])
    read = QuantumCircuit(4, 2)
    read.compose(circuit, inplace=True)
    read.measure([2, 0], [0, 1])
    outcome = run(ENGINE, read, shots=20_000, per_shot_memory=True)
    assert agree(dict(outcome.counts), exact)
    assert outcome.memory is not None and len(outcome.memory) == 20_000
    assert run(ENGINE, read, shots=20_000).counts == outcome.counts
    assert run(ENGINE, read, shots=20_000, seed=2).counts != outcome.counts


def test_pieces_and_a_checkpoint_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = measured(random_circuit(6, 12, max_operands=3, seed=8))
    whole = run(ENGINE, circuit)
    monkeypatch.setattr(running_qsim, "PIECE", 7)
    work = workload(circuit)
    program = ENGINE.prepare(CANDIDATE, work, LIMITS)
    assert not program.advance(1.0)
    assert not program.advance(1.0)
    assert 0.0 < program.fraction < 1.0
    later = ENGINE.prepare(CANDIDATE, work, LIMITS, program.checkpoint())
    assert later.fraction == program.fraction
    assert finish(later).counts == finish(program).counts == whole.counts


def test_qubits_that_nothing_acts_on_cost_nothing() -> None:
    circuit = QuantumCircuit(200, 1)
    circuit.h(150)
    circuit.cx(150, 3)
    circuit.measure(3, 0)
    assert set(run(ENGINE, circuit).counts) == {0, 1}
    work = workload(circuit)
    assert ENGINE.features(CANDIDATE, work.facts, work.options)["amplitude"] == 4


def test_a_circuit_without_gates() -> None:
    assert run(ENGINE, measured(QuantumCircuit(3))).counts == {0: 1024}


def test_readout_errors() -> None:
    counts = run(ENGINE, measured(QuantumCircuit(1)), noise=Noise(readout_0to1=0.25), shots=20_000).counts
    assert agree(dict(counts), np.array([0.75, 0.25]))


def test_what_it_refuses() -> None:
    circuit = measured(QuantumCircuit(2))
    assert "no noise on gates" in refusal(ENGINE, circuit, noise=Noise(depolarizing_1q=0.1))
    circuit.x(0)
    assert "middle" in refusal(ENGINE, circuit)
    assert "too large" in refusal(ENGINE, measured(QuantumCircuit(50)))
    assert "too many" in refusal(ENGINE, measured(QuantumCircuit(25)), probabilities=True)


def test_memory_is_forecast_with_the_pieces() -> None:
    work = workload(measured(random_circuit(18, 200, max_operands=2, seed=1)))
    assert work.facts.gates > running_qsim.PIECE
    constants = ENGINE.constants(CANDIDATE)
    roomy = ENGINE.estimate(CANDIDATE, work.facts, work.options, Limits(1 << 30, 1), constants)
    tight = ENGINE.estimate(CANDIDATE, work.facts, work.options, Limits(17 << 20, 1), constants)
    assert roomy.memory - tight.memory < 8 << 18
    assert roomy.memory > 2 * (8 << 18)
    assert roomy.certain


def test_cirq_is_not_loaded_and_can_be_loaded_after() -> None:
    code = (
        "import sys; from qvirt.simulators.qsim.native import native\n"
        "assert 'cirq' not in sys.modules\n"
        "import qsimcirq; assert qsimcirq.qsim is native()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
