"""Every engine that can begin in a given state ends where the joined circuit does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from qvirt.circuits import ParseLimits, analyse
from qvirt.circuits.facts import of_any_state
from qvirt.circuits.flatten import flatten
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Noise, Precision, RunOptions
from qvirt.simulators import starting
from qvirt.simulators.aer import cost
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.choice import survey
from qvirt.simulators.contract import Outcome, Program, StartsFrom
from qvirt.simulators.qsim import program as qsim
from qvirt.simulators.registry import installed, simulator, simulators
from qvirt.simulators.workload import Workload

LIMITS = Limits(memory=1 << 30, threads=2)
SHOTS = 4000
NOISE = Noise(depolarizing_1q=0.2, depolarizing_2q=0.2)
ABLE = [
    candidate
    for engine in simulators().values()
    if installed(engine.name) and isinstance(engine, StartsFrom)
    for candidate in engine.candidates()
    if candidate.method in engine.starts_from
]
ERROR = {Precision.DOUBLE: 1e-12, Precision.SINGLE: 1e-6, Precision.HALF: 2e-3}
ERROR |= {Precision.BFLOAT16: 2e-2, Precision.FLOAT8: 2e-1}


def _first() -> QuantumCircuit:
    """Entangled, of no symmetry, with a phase of its own."""
    circuit = QuantumCircuit(4, global_phase=0.3)
    for qubit in range(4):
        circuit.u(0.4 + qubit, 0.2 * qubit, 0.9, qubit)
    circuit.cx(0, 1)
    circuit.rzz(0.8, 1, 2)
    circuit.ch(2, 3)
    return circuit


def _next() -> QuantumCircuit:
    """Clifford gates alone, two parts, and a qubit that nothing touches: of |0...0> much could be said."""
    circuit = QuantumCircuit(4, 4, global_phase=-1.1)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.s(3)
    circuit.measure([0, 1, 2, 3], [0, 1, 2, 3])
    return circuit


def _deep() -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    for step in range(9):
        circuit.rx(0.3 + step, step % 4)
        circuit.cx(step % 4, (step + 1) % 4)
    circuit.measure_all()
    return circuit


def _dynamic() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(4, "c"))
    circuit.reset(3)
    circuit.measure(1, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.h(2)
    circuit.rx(0.7, 0)
    circuit.measure([0, 2, 3], [1, 2, 3])
    return circuit


def _resetting() -> QuantumCircuit:
    circuit = QuantumCircuit(4, 4)
    circuit.reset(1)
    circuit.h(2)
    circuit.measure(range(4), range(4))
    return circuit


def _joined(circuit: QuantumCircuit) -> QuantumCircuit:
    joined = circuit.copy_empty_like()
    joined.global_phase = 0
    joined.compose(_first(), range(4), inplace=True)
    return joined.compose(circuit, range(4), range(circuit.num_clbits))


def _start() -> np.ndarray:
    from qiskit.quantum_info import Statevector

    return np.asarray(Statevector(_first()).data)


def _workload(circuit: QuantumCircuit, start: np.ndarray | None = None, **options: Any) -> Workload:
    flat = flatten(circuit, ParseLimits())
    facts = analyse(flat, Format.QPY)
    asked = RunOptions(**({"shots": SHOTS, "seed": 5} | options))
    if start is None:
        return Workload(flat, facts, asked)
    return Workload(flat, of_any_state(facts), replace(asked, start="psi"), start=start)


def _finish(program: Program) -> Outcome:
    while not program.advance(1e-9):
        pass
    return program.result()


def _run(candidate: Candidate, work: Workload) -> Outcome:
    return _finish(simulator(candidate.engine).prepare(candidate, work, LIMITS))


def _able(circuit: QuantumCircuit, **options: Any) -> list[Candidate]:
    """Those that run such a circuit at all."""
    work = _workload(circuit, _start(), **options)
    engines = {name: simulator(name) for name in {each.engine for each in ABLE}}
    return [each for each in ABLE if engines[each.engine].supports(each, work.facts, work.options) is None]


@pytest.mark.parametrize("circuit", [_next(), _deep()], ids=["next", "deep"])
@pytest.mark.parametrize("candidate", ABLE, ids=str)
def test_the_state_is_that_of_the_joined_circuit(candidate: Candidate, circuit: QuantumCircuit) -> None:
    asked = {"state": True, "observables": ("ZXIY", "0.5*ZZII - XIIX"), "probabilities": True}
    found = _run(candidate, _workload(circuit, _start(), **asked))
    joined = _run(candidate, _workload(_joined(circuit), **asked))
    error = ERROR[candidate.precision]
    assert found.state is not None and joined.state is not None
    assert np.allclose(found.state, joined.state, atol=error), np.abs(found.state - joined.state).max()
    for mine, theirs in zip(found.expectations, joined.expectations, strict=True):
        assert mine.value == pytest.approx(theirs.value, abs=2 * error)
    assert found.probabilities is not None and joined.probabilities is not None
    assert found.probabilities == pytest.approx(dict(joined.probabilities), abs=2 * error)
    if not candidate.precision.is_reduced:
        assert found.counts == joined.counts, "the same seed reads the same"


def _alike(one: Outcome, other: Outcome) -> bool:
    """Whether two samples may be of one distribution: every outcome within five standard deviations."""
    keys = one.counts.keys() | other.counts.keys()
    pairs = [(one.counts.get(key, 0), other.counts.get(key, 0)) for key in keys]
    return all(abs(a - b) <= 5 * math.sqrt(a + b + 1) for a, b in pairs)


@pytest.mark.parametrize("circuit", [_dynamic(), _resetting()], ids=["dynamic", "reset first"])
@pytest.mark.parametrize("candidate", _able(_dynamic()), ids=str)
def test_what_chance_decides_is_decided_in_the_given_state(
    candidate: Candidate, circuit: QuantumCircuit
) -> None:
    """A reset of a qubit that nothing has touched is no longer nothing."""
    found = _run(candidate, _workload(circuit, _start()))
    joined = _run(candidate, _workload(_joined(circuit)))
    assert _alike(found, joined), (found.counts, joined.counts)
    without = _run(candidate, _workload(circuit))
    assert not _alike(found, without), "the start makes a difference"


@pytest.mark.parametrize("candidate", _able(_next(), noise=NOISE), ids=str)
def test_noise_follows_the_gates_after_the_start(candidate: Candidate) -> None:
    found = _run(candidate, _workload(_next(), _start(), noise=NOISE))
    from qiskit_aer import AerSimulator

    from qvirt.simulators.aer.noise import with_noise

    quiet = QuantumCircuit(4, 4)
    quiet.set_density_matrix(np.outer(_start(), _start().conj()))
    noisy, model = with_noise(_next(), NOISE, frozenset({"h", "cx", "s"}))
    whole = quiet.compose(noisy)
    engine = AerSimulator(method="density_matrix", noise_model=model, seed_simulator=1)
    counts = engine.run(whole, shots=SHOTS).result().get_counts()
    assert _alike(found, Outcome({int(key, 2): count for key, count in counts.items()}))


@pytest.mark.parametrize("candidate", ABLE, ids=str)
def test_a_run_from_a_state_is_saved_and_gone_on_with(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qsim, "PIECE", 2)
    monkeypatch.setattr(cost, "SEGMENT_SECONDS", 1e-9)
    monkeypatch.setattr(cost, "MOVING_SHARE", 1e9)
    engine, work = simulator(candidate.engine), _workload(_deep(), _start())
    whole = _run(candidate, work)
    before = engine.prepare(candidate, work, LIMITS)
    stops = 0
    while not before.advance(1e-9):
        stops += 1
        saved = before.checkpoint()
        copied = Checkpoint(saved.header, [bytes(chunk) for chunk in saved.chunks])
        assert _finish(engine.prepare(candidate, work, LIMITS, copied)).counts == whole.counts
    assert stops
    assert before.result().counts == whole.counts


def test_the_others_say_that_they_cannot() -> None:
    work = _workload(_next(), _start())
    estimates, rejected = survey(work.facts, work.options, LIMITS, None)
    able = {each.candidate for each in estimates}
    assert able and able <= set(ABLE)
    reasons = {each.candidate: each.reason for each in rejected if each.candidate not in ABLE}
    methods = {candidate.method for candidate in reasons}
    assert {Method.PRODUCT, Method.STABILIZER, Method.DENSITY_MATRIX, Method.MPS} <= methods
    assert all("given state" in reason or "not installed" in reason for reason in reasons.values())


def test_what_is_true_of_zeros_alone_is_not_said_of_a_given_state() -> None:
    facts = analyse(flatten(_resetting(), ParseLimits()), Format.QPY)
    assert facts.is_clifford and facts.terminal_measurements
    given = of_any_state(facts)
    assert given.components == ((0, 1, 2, 3),)
    assert not given.terminal_measurements and not given.is_clifford
    assert given.collapses == 1


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_a_state_is_read_from_its_file_block_by_block(tmp_path: Path, kind: type) -> None:
    state = np.arange(64).astype(kind)
    np.save(tmp_path / "state.npy", state)
    mapped = np.load(tmp_path / "state.npy", mmap_mode="r")
    found = list(starting.blocks(mapped, 16))
    assert [first for first, _ in found] == [0, 16, 32, 48]
    assert np.array_equal(np.concatenate([block for _, block in found]), state)
    assert np.array_equal(starting.copied(mapped, np.complex128), state)
