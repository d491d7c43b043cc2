"""Every engine that can be saved goes on from wherever it stops, to the same counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from numpy.random import default_rng
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from qvirt.circuits import ParseLimits, analyse
from qvirt.circuits.flatten import flatten
from qvirt.circuits.parts import split as divided
from qvirt.errors import Unsupported
from qvirt.model.checkpoint import CheckpointHead, deciding
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, RunOptions
from qvirt.simulators import checkpoint_file, sampling, split
from qvirt.simulators.aer import cost
from qvirt.simulators.choice import prepare
from qvirt.simulators.contract import Outcome, Program
from qvirt.simulators.qsim import program as qsim
from qvirt.simulators.registry import installed, simulator, simulators
from qvirt.simulators.workload import Workload

LIMITS = Limits(memory=1 << 30, threads=2)
SHOTS = 150
SLOW = {Method.EXTENDED_STABILIZER}
CANDIDATES = [
    candidate
    for engine in simulators().values()
    if installed(engine.name)
    for candidate in engine.candidates()
    if candidate.method not in SLOW
]


def _dense() -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    rng = default_rng(2)
    for _ in range(7):
        a, b = (int(qubit) for qubit in rng.permutation(4)[:2])
        circuit.u(*rng.uniform(0, 3, 3), a)
        circuit.cx(a, b)
        circuit.rzz(0.7, a, b)
    circuit.swap(0, 2)
    circuit.global_phase = 0.3
    circuit.measure_all()
    return circuit


def _clifford() -> QuantumCircuit:
    circuit = QuantumCircuit(5)
    for qubit in range(5):
        circuit.h(qubit)
        circuit.cz(qubit, (qubit + 1) % 5)
        circuit.s(qubit)
        circuit.h(qubit)
    circuit.measure_all()
    return circuit


def _dynamic(*, clifford: bool) -> QuantumCircuit:
    """Measured, reset and decided in its middle; ifs in ifs; qubits measured again."""
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(4, "c"))
    circuit.h(0)
    circuit.cx(0, 1)
    if not clifford:
        circuit.ry(0.8, 1)
    circuit.measure(1, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.h(2)
        circuit.measure(2, 1)
        with circuit.if_test((circuit.clbits[1], 1)):
            circuit.x(0)
            circuit.h(1)
    with otherwise:
        circuit.h(0)
        circuit.swap(0, 2)
    circuit.reset(1)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.measure(0, 2)
    circuit.h(0)
    circuit.measure([0, 2], [3, 1])
    return circuit


def _alone() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(0.4 + qubit, qubit)
    circuit.measure_all()
    return circuit


CIRCUITS = {
    "dense": _dense(),
    "clifford": _clifford(),
    "dynamic": _dynamic(clifford=False),
    "dynamic clifford": _dynamic(clifford=True),
    "alone": _alone(),
}


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the circuits were long ones: every engine stops as often as it can."""
    monkeypatch.setattr(qsim, "PIECE", 2)
    monkeypatch.setattr(sampling, "BLOCK_BITS", 64)
    monkeypatch.setattr(cost, "BATCH", 20)
    monkeypatch.setattr(cost, "SEGMENT_SECONDS", 1e-9)
    monkeypatch.setattr(cost, "MOVING_SHARE", 1e9)


def workload(circuit: QuantumCircuit, candidate: Candidate, **options: object) -> Workload:
    flat = flatten(circuit, ParseLimits())
    precision = None if candidate.method is Method.SPLIT else candidate.precision
    asked = RunOptions(shots=SHOTS, seed=5, per_shot_memory=True, precision=precision, **options)  # type: ignore[arg-type]
    facts = analyse(flat, Format.QPY)
    parts = (Workload(each, analyse(each, Format.QPY), asked) for each in divided(flat, facts.components))
    return Workload(flat, facts, asked, tuple(parts))


def finished(program: Program) -> Outcome:
    while not program.advance(1e-9):
        pass
    return program.result()


def stops(candidate: Candidate, work: Workload) -> Iterator[Program]:
    """A program at its beginning and wherever it stops before its end."""
    program = prepare(candidate, work, LIMITS)
    yield program
    while not program.advance(1e-9):
        yield program


def saved(program: Program, candidate: Candidate, work: Workload, path: Path) -> Program:
    """Another program that goes on from where this one is, by way of a file."""
    head = CheckpointHead(
        candidate, "1", "0", deciding(work.options), 0.0, program.fraction, program.position
    )
    with path.open("wb") as file:
        checkpoint_file.write(file.write, head, program.checkpoint())
    with path.open("rb") as file, checkpoint_file.opened(file) as (found, checkpoint):
        assert found == head
        return prepare(candidate, work, LIMITS, None, checkpoint)


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_a_run_goes_on_from_every_place_where_it_stops(
    candidate: Candidate, name: str, tmp_path: Path
) -> None:
    work = workload(CIRCUITS[name], candidate)
    reason = simulator(candidate.engine).supports(candidate, work.facts, work.options)
    if reason is not None:
        return
    whole = finished(prepare(candidate, work, LIMITS))
    places = 0
    for program in stops(candidate, work):
        try:
            later = saved(program, candidate, work, tmp_path / "checkpoint")
        except Unsupported as refusal:
            assert len(refusal.message) > 10
            return
        places += 1
        assert later.fraction == program.fraction
        assert later.position == program.position
        outcome = finished(later)
        assert (outcome.counts, outcome.memory) == (whole.counts, whole.memory)
    assert places > 1 or candidate.method in (Method.PRODUCT, Method.STABILIZER)


@pytest.mark.usefixtures("_small_steps")
def test_a_circuit_that_is_run_in_parts_goes_on_in_the_middle_of_one(tmp_path: Path) -> None:
    circuit = QuantumCircuit(9)
    circuit.compose(_dense().remove_final_measurements(inplace=False), range(4), inplace=True)
    circuit.compose(_clifford().remove_final_measurements(inplace=False), range(4, 9), inplace=True)
    circuit.measure_all()
    work = workload(circuit, split.CANDIDATE)
    assert len(work.parts) == 2
    whole = finished(prepare(split.CANDIDATE, work, LIMITS))
    fractions = set()
    for program in stops(split.CANDIDATE, work):
        later = saved(program, split.CANDIDATE, work, tmp_path / "checkpoint")
        fractions.add(later.fraction)
        outcome = finished(later)
        assert (outcome.counts, outcome.memory) == (whole.counts, whole.memory)
    assert len(fractions) > 4


@pytest.mark.usefixtures("_small_steps")
def test_what_else_was_asked_for_is_the_same_after_a_pause(tmp_path: Path) -> None:
    """State, means and probabilities, to rounding; of the engines that have them."""
    asked = {"observables": ("ZZZZ", "XIIX"), "probabilities": True}
    tested = 0
    for candidate in CANDIDATES:
        work = workload(_dense(), candidate, **asked)
        engine = simulator(candidate.engine)
        if engine.supports(candidate, work.facts, work.options) is not None:
            continue
        whole = finished(prepare(candidate, work, LIMITS))
        program = prepare(candidate, work, LIMITS)
        if program.advance(1e-9):
            continue
        try:
            outcome = finished(saved(program, candidate, work, tmp_path / "checkpoint"))
        except Unsupported:
            continue
        tested += 1
        assert outcome.probabilities == pytest.approx(whole.probabilities, abs=1e-6)
        for mean, before in zip(outcome.expectations, whole.expectations, strict=True):
            assert replace(mean, value=0.0) == replace(before, value=0.0)
            assert mean.value == pytest.approx(before.value, abs=1e-6)
    assert tested >= 3
