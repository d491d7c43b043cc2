"""Circuits with loops, checkpoints at every step, noise that only this engine and Aer have, fidelities."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from running import LIMITS, agree, finish, measured, workload

from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Noise, Precision
from qvirt.simulators.aer import AerSimulator
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Outcome
from qvirt.simulators.torch_statevector import TorchSimulator

ENGINE = TorchSimulator()
STATEVECTOR = Candidate("torch", Method.STATEVECTOR, Precision.DOUBLE)
DENSITY = Candidate("torch", Method.DENSITY_MATRIX, Precision.DOUBLE)


def run(
    circuit: QuantumCircuit, candidate: Candidate = STATEVECTOR, limits: Limits = LIMITS, **o: Any
) -> Outcome:
    work = workload(circuit, **({"precision": candidate.precision} | o))
    assert ENGINE.supports(candidate, work.facts, work.options) is None
    return finish(ENGINE.prepare(candidate, work, limits))


def dynamic() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 4)
    circuit.h([0, 1])
    circuit.cx(0, 2)
    circuit.measure(0, 0)
    circuit.h(0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.ry(0.7, 1)
        circuit.swap(1, 2)
    circuit.reset(2)
    circuit.cx(1, 0)
    circuit.measure([0, 1, 2], [1, 2, 3])
    return circuit


def looping() -> QuantumCircuit:
    """A for with a break, a while with a continue, a switch with a default."""
    bits, out = ClassicalRegister(2, "bits"), ClassicalRegister(3, "out")
    circuit = QuantumCircuit(QuantumRegister(3), bits, out)
    with circuit.for_loop(range(4)):
        circuit.ry(0.9, 0)
        circuit.measure(0, bits[0])
        with circuit.if_test((bits[0], 1)):
            circuit.break_loop()
        circuit.h(1)
    with circuit.while_loop((bits, 1)):
        circuit.h(2)
        circuit.measure(2, bits[1])
        with circuit.if_test((bits[1], 0)):
            circuit.x(1)
            circuit.continue_loop()
        circuit.ry(0.4, 1)
    with circuit.switch(bits) as case:
        with case(0):
            circuit.x(2)
        with case(1, 3):
            circuit.h(2)
        with case(case.DEFAULT):
            circuit.y(1)
    circuit.measure([0, 1, 2], out)
    return circuit


def distance(a: Outcome, b: Outcome, shots: int) -> float:
    keys = a.counts.keys() | b.counts.keys()
    return sum(abs(a.counts.get(key, 0) - b.counts.get(key, 0)) for key in keys) / shots / 2


@pytest.mark.parametrize("candidate", [STATEVECTOR, DENSITY], ids=str)
def test_loops_as_aer_runs_them(candidate: Candidate) -> None:
    shots = 20_000
    work = workload(looping(), shots=shots)
    aer = AerSimulator()
    chosen = next(c for c in aer.candidates() if c.method is Method.STATEVECTOR)
    assert aer.supports(chosen, work.facts, work.options) is None
    theirs = finish(aer.prepare(chosen, work, LIMITS))
    ours = run(looping(), candidate, shots=shots)
    assert distance(ours, theirs, shots) < 0.03


@pytest.mark.parametrize("candidate", ENGINE.candidates(), ids=str)
@pytest.mark.parametrize("noise", [None, Noise(0.02, 0.05, 0.05, 0.05, 0.03, 0.07)], ids=["", "noisy"])
def test_a_checkpoint_anywhere_leads_to_the_same_shots(candidate: Candidate, noise: Noise | None) -> None:
    for circuit in (dynamic(), measured(dynamic_free())):
        work = workload(circuit, shots=40, per_shot_memory=True, noise=noise, precision=candidate.precision)
        program = ENGINE.prepare(candidate, work, LIMITS)
        kept = [written(program.checkpoint())]
        while not program.advance(0.0):
            kept.append(written(program.checkpoint()))
        whole = program.result()
        for header, chunks in kept[:: 1 + len(kept) // 25]:
            again = ENGINE.prepare(candidate, work, LIMITS, Checkpoint(json.loads(header), chunks))
            outcome = finish(again)
            assert outcome.memory == whole.memory
            assert outcome.metadata == whole.metadata


def dynamic_free() -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.cx(0, 3)
    circuit.swap(1, 3)
    circuit.crx(0.4, 3, 2)
    return circuit


def written(checkpoint: Checkpoint) -> tuple[str, list[bytes]]:
    return json.dumps(dict(checkpoint.header)), [bytes(chunk) for chunk in checkpoint.chunks]


def test_batches_of_shots_where_memory_is_small() -> None:
    """The noisy shots do not all fit at once, and the counts are right still."""
    circuit = measured(dynamic_free())
    noise = Noise(amplitude_damping=0.3, phase_damping=0.2)
    work = workload(circuit, shots=400, noise=noise)
    least = ENGINE.estimate(STATEVECTOR, work.facts, work.options, Limits(1, 1), {}).memory
    small = Limits(memory=least + (40 * 16 << 4), threads=1)
    exact = run(circuit, DENSITY, noise=noise, probabilities=True).probabilities
    assert exact is not None
    outcome = finish(ENGINE.prepare(STATEVECTOR, work, small))
    assert sum(outcome.counts.values()) == 400
    assert agree(dict(outcome.counts), np.array([exact.get(key, 0.0) for key in range(16)]))


def test_dephasing_without_relaxation_and_temperature() -> None:
    circuit = measured(dynamic_free())
    for noise in (
        Noise(t2=70e-6, gate_time_1q=5e-6, gate_time_2q=9e-6),
        Noise(t1=40e-6, gate_time_1q=5e-6, gate_time_2q=9e-6, temperature=0.1, frequency=5e9),
    ):
        mine = run(circuit, DENSITY, noise=noise, probabilities=True).probabilities
        work = workload(circuit, noise=noise, probabilities=True)
        aer = AerSimulator()
        chosen = next(c for c in aer.candidates() if c.method is Method.DENSITY_MATRIX)
        theirs = finish(aer.prepare(chosen, work, LIMITS)).probabilities
        assert mine is not None
        assert theirs is not None
        assert all(abs(mine.get(key, 0) - theirs.get(key, 0)) < 1e-9 for key in range(16))


def test_the_fidelity_of_a_reduced_precision_is_measured_and_warned_of() -> None:
    circuit = QuantumCircuit(8)
    rng = np.random.default_rng(2)
    for _ in range(200):
        a, b = (int(q) for q in rng.permutation(8)[:2])
        circuit.ry(float(rng.uniform(-3, 3)), a)
        circuit.cx(a, b)
    circuit = measured(circuit)
    state = run(circuit, state=True).state
    assert state is not None
    for precision, most in ((Precision.HALF, 1e-5), (Precision.BFLOAT16, 1e-3), (Precision.FLOAT8, 0.05)):
        candidate = replace(STATEVECTOR, precision=precision)
        outcome = run(circuit, candidate, state=True)
        assert outcome.state is not None
        fidelity = outcome.metadata["fidelity"]
        assert isinstance(fidelity, float)
        assert fidelity == pytest.approx(abs(np.vdot(outcome.state, state)) ** 2, abs=1e-9)
        assert 1 - most < fidelity < 1
        assert bool(outcome.warnings) == (fidelity < 0.99)
        tight = Limits(memory=1, threads=1)
        estimated = run(circuit, candidate, tight)
        assert "estimated" in str(estimated.metadata["fidelity_is"])
        assert 1 - float(estimated.metadata["fidelity"]) == pytest.approx(1 - fidelity, rel=3)


def test_exact_answers_have_no_fidelity_to_tell() -> None:
    assert run(measured(dynamic_free())).metadata == {}


def test_positions_and_fractions_only_grow() -> None:
    work = workload(measured(dynamic_free()), shots=10)
    program = ENGINE.prepare(STATEVECTOR, work, LIMITS)
    seen = [(program.fraction, program.position)]
    while not program.advance(0.0):
        seen.append((program.fraction, program.position))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    done = [position.operations_done for _, position in seen if position]
    assert done == sorted(done)  # type: ignore[type-var]
    assert program.position is not None
    assert program.position.operations_done == program.position.operations
    assert program.position.shots_done == 10


def test_refusals() -> None:
    def reason(circuit: QuantumCircuit, candidate: Candidate = STATEVECTOR, **options: Any) -> str:
        work = workload(circuit, **options)
        found = ENGINE.supports(candidate, work.facts, work.options)
        assert found is not None
        return found

    assert "too large" in reason(measured(QuantumCircuit(50)), observables=("Z0",))
    assert "no state vector" in reason(measured(QuantumCircuit(2)), DENSITY, state=True)
    assert "measured earlier" in reason(dynamic(), state=True)
    assert "one final state" in reason(
        measured(dynamic_free()), probabilities=True, noise=Noise(depolarizing_1q=0.1)
    )
