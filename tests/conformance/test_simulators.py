"""What every engine is held to, each of its methods and precisions, against a dense reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
from numpy.random import Generator, default_rng
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import RYGate, UnitaryGate
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary
from scipy.stats import chisquare

from qvirt.circuits import ParseLimits, analyse
from qvirt.circuits.flatten import flatten
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Kraus, Limits, Method, Noise, Precision, RunOptions
from qvirt.simulators.contract import Outcome
from qvirt.simulators.lowering import lower_to_two_qubit
from qvirt.simulators.registry import installed, simulator, simulators
from qvirt.simulators.workload import Workload

LIMITS = Limits(memory=2 << 30, threads=2)
SHOTS = 4000
APPROXIMATE = {Method.EXTENDED_STABILIZER}
MOST_TERMS = 3
APPROXIMATE_SHOTS = 50
"""Each takes a walk of thousands of steps."""
TOLERANCE = {
    Precision.DOUBLE: 1e-9,
    Precision.SINGLE: 1e-5,
    Precision.HALF: 2e-3,
    Precision.BFLOAT16: 2e-2,
    Precision.FLOAT8: 0.2,
}
"""Of a chance or a mean."""

INFIDELITY = TOLERANCE | {Precision.HALF: 1e-5, Precision.BFLOAT16: 1e-4, Precision.FLOAT8: 2e-2}
CANDIDATES = [
    candidate
    for engine in simulators().values()
    if installed(engine.name)
    for candidate in engine.candidates()
]
ONE = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg", "id")
TURNS = ("rx", "ry", "rz", "p")
TWO = ("cx", "cy", "cz", "swap", "ch", "iswap", "ecr", "dcx", "csx")
TWO_TURNS = ("cp", "crx", "cry", "crz", "rzz", "rxx", "ryy", "rzx")
CLIFFORD = ("h", "x", "y", "z", "s", "sdg", "sx", "sxdg", "id")
CLIFFORD_TWO = ("cx", "cy", "cz", "swap", "iswap", "ecr", "dcx")


def dense(circuit: QuantumCircuit, rng: Generator, gates: int) -> None:
    for _ in range(gates):
        a, b, c = (int(q) for q in rng.permutation(circuit.num_qubits)[:3])
        kind = rng.integers(6)
        if kind == 0:
            getattr(circuit, str(rng.choice(ONE)))(a)
        elif kind == 1:
            getattr(circuit, str(rng.choice(TURNS)))(rng.uniform(-4, 4), a)
        elif kind == 2:
            getattr(circuit, str(rng.choice(TWO)))(a, b)
        elif kind == 3:
            getattr(circuit, str(rng.choice(TWO_TURNS)))(rng.uniform(-4, 4), a, b)
        elif kind == 4:
            circuit.u(*rng.uniform(-4, 4, 3), a)
        else:
            getattr(circuit, str(rng.choice(["ccx", "cswap", "ccz", "rccx"])))(a, b, c)


def clifford(circuit: QuantumCircuit, rng: Generator, gates: int) -> None:
    for _ in range(gates):
        a, b = (int(q) for q in rng.permutation(circuit.num_qubits)[:2])
        kind = rng.integers(4)
        if kind == 0:
            getattr(circuit, str(rng.choice(CLIFFORD_TWO)))(a, b)
        elif kind == 1:
            circuit.rz(rng.integers(4) * np.pi / 2, a)
        elif kind == 2:
            circuit.u(
                np.pi / 2 * rng.integers(4), np.pi / 2 * rng.integers(4), np.pi / 2 * rng.integers(4), a
            )
        else:
            getattr(circuit, str(rng.choice(CLIFFORD)))(a)


def turned(circuit: QuantumCircuit, rng: Generator, gates: int) -> None:
    for _ in range(gates):
        getattr(circuit, str(rng.choice(TURNS)))(rng.uniform(-4, 4), int(rng.integers(circuit.num_qubits)))


def clifford_t(circuit: QuantumCircuit, rng: Generator, gates: int) -> None:
    clifford(circuit, rng, gates // 2)
    circuit.t(0)
    clifford(circuit, rng, gates // 2)


def all_measured(
    fill: Callable[[QuantumCircuit, Generator, int], None], qubits: int, seed: int
) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    fill(circuit, default_rng(seed), 12 * qubits)
    circuit.measure_all()
    return circuit


def odd_registers(fill: Callable[[QuantumCircuit, Generator, int], None]) -> QuantumCircuit:
    """Some qubits, in another order, into two registers; one bit stays unwritten, one is read twice."""
    circuit = QuantumCircuit(
        QuantumRegister(2, "a"), QuantumRegister(2, "b"), ClassicalRegister(3, "x"), ClassicalRegister(2, "y")
    )
    fill(circuit, default_rng(5), 30)
    circuit.measure([3, 0], [0, 4])
    circuit.barrier()
    circuit.measure([2, 2], [1, 3])
    circuit.measure(3, 0)
    return circuit


def dynamic(fill: Callable[[QuantumCircuit, Generator, int], None]) -> QuantumCircuit:
    """Measured in the middle, reset, measured again, and a gate under a condition."""
    rng = default_rng(8)
    circuit = QuantumCircuit(3, 4)
    fill(circuit, rng, 12)
    circuit.measure(0, 0)
    circuit.h(0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.reset(2)
    fill(circuit, rng, 6)
    circuit.measure([0, 1, 2], [1, 2, 3])
    return circuit


def on_register() -> QuantumCircuit:
    """A condition on a whole register, with an else."""
    register = ClassicalRegister(2, "c")
    circuit = QuantumCircuit(QuantumRegister(3), register, ClassicalRegister(1, "out"))
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((register, 2)) as otherwise:
        circuit.x(2)
    with otherwise:
        circuit.h(2)
    circuit.measure(2, 2)
    return circuit


def overwritten() -> QuantumCircuit:
    """Three readings into one bit: the last one stays. Two qubits do nothing."""
    circuit = QuantumCircuit(5, 2)
    circuit.reset(4)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(0.7, 2)
    circuit.measure([0, 2, 1], [0, 0, 0])
    circuit.measure(2, 1)
    return circuit


def many_controls() -> QuantumCircuit:
    circuit = QuantumCircuit(6)
    circuit.h(range(6))
    circuit.mcx([0, 5, 1, 3], 2)
    circuit.mcp(0.8, [4, 0, 2], 1)
    circuit.append(RYGate(0.7).control(2, ctrl_state=1), [3, 1, 5])
    circuit.append(UnitaryGate(random_unitary(8, seed=4)), [5, 0, 3])
    circuit.h([0, 2, 4])
    circuit.measure_all()
    return circuit


def teleport() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 3)
    circuit.ry(0.8, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.z(2)
    circuit.measure(2, 2)
    return circuit


def expressions() -> QuantumCircuit:
    """Conditions in which Aer by itself goes wrong, with a body that measures."""
    a, b = ClassicalRegister(2, "a"), ClassicalRegister(3, "b")
    circuit = QuantumCircuit(QuantumRegister(2), a, b)
    circuit.h([0, 1])
    circuit.measure([0, 1], a)
    circuit.reset([0, 1])
    with circuit.if_test(expr.cast(a, types.Bool())):
        circuit.x(0)
        circuit.measure(0, b[1])
    with circuit.if_test(expr.logic_and(expr.index(a, 1), expr.logic_not(a[0]))):
        circuit.ry(0.5, 1)
    circuit.measure([0, 1], [b[2], b[0]])
    return circuit


def loop() -> QuantumCircuit:
    """Until a measurement gives 0."""
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.ry(1.1, 0)
        circuit.cx(0, 1)
        circuit.measure(0, 0)
    circuit.measure(1, 1)
    return circuit


CIRCUITS = {
    "clifford 4": all_measured(clifford, 4, 1),
    "clifford 5": all_measured(clifford, 5, 2),
    "dense 3": all_measured(dense, 3, 3),
    "dense 4": all_measured(dense, 4, 4),
    "dense 5": all_measured(dense, 5, 5),
    "product 5": all_measured(turned, 5, 6),
    "one T": all_measured(clifford_t, 4, 7),
    "clifford registers": odd_registers(clifford),
    "dense registers": odd_registers(dense),
    "product registers": odd_registers(turned),
    "clifford dynamic": dynamic(clifford),
    "dense dynamic": dynamic(dense),
    "condition on a register": on_register(),
    "overwritten": overwritten(),
    "many controls": many_controls(),
    "teleport": teleport(),
    "expressions": expressions(),
    "loop": loop(),
}


def kraus(size: int) -> Kraus:
    """A channel: mostly nothing, else the columns of a random unitary, cut into four."""
    columns = random_unitary(4 * size, seed=9).data[:, :size].reshape(4, size, size)
    mixed = np.array([0.9**0.5 * np.eye(size), *(0.1**0.5 * columns)])
    return tuple(tuple(tuple((z.real, z.imag) for z in row) for row in matrix) for matrix in mixed.tolist())


NOISE = {
    "depolarizing": Noise(depolarizing_1q=0.05, depolarizing_2q=0.1),
    "phase": Noise(phase_damping=0.2),
    "amplitude": Noise(amplitude_damping=0.15),
    "readout": Noise(readout_0to1=0.1, readout_1to0=0.2),
    "all": Noise(0.02, 0.05, 0.05, 0.05, 0.03, 0.07),
    "relaxation": Noise(
        t1=50e-6, t2=70e-6, gate_time_1q=5e-6, gate_time_2q=9e-6, excited_population=0.2, readout_0to1=0.1
    ),
    "kraus": Noise(kraus_1q=kraus(2), kraus_2q=kraus(4)),
}


def noisy_circuit(kind: str) -> QuantumCircuit:
    if kind == "dynamic":
        return dynamic(clifford)
    circuit = QuantumCircuit(3)
    rng = default_rng(3)
    for _ in range(8):
        a, b = (int(q) for q in rng.permutation(3)[:2])
        circuit.h(a)
        circuit.cx(a, b)
        if kind == "dense":
            circuit.ry(float(rng.uniform(0, 3)), b)
    circuit.measure_all()
    return circuit


def workload(circuit: QuantumCircuit, candidate: Candidate, **options: Any) -> Workload:
    flat = flatten(circuit, ParseLimits())
    shots = APPROXIMATE_SHOTS if candidate.method in APPROXIMATE else SHOTS
    asked = RunOptions(**({"seed": 11, "shots": shots, "precision": candidate.precision} | options))
    return Workload(flat, analyse(flat, Format.QPY), asked)


def run(candidate: Candidate, work: Workload) -> Outcome | None:
    """None where the engine says that it cannot, in words, or would walk for minutes."""
    if candidate.method in APPROXIMATE and work.facts.gates - work.facts.clifford_gates > MOST_TERMS:
        return None
    engine = simulator(candidate.engine)
    reason = engine.supports(candidate, work.facts, work.options)
    if reason is not None:
        assert len(reason) > 10
        return None
    estimate = engine.estimate(candidate, work.facts, work.options, LIMITS, engine.constants(candidate))
    assert estimate.memory > 0
    assert 0 < estimate.seconds < 60
    assert estimate.reason
    program = engine.prepare(candidate, work, LIMITS)
    while not program.advance(1.0):
        assert program.fraction is None or 0 <= program.fraction <= 1
    return program.result()


def assert_drawn_from(counts: dict[int, int], chances: dict[int, float], candidate: Candidate) -> None:
    shots = sum(counts.values())
    if candidate.method in APPROXIMATE:
        assert shots == APPROXIMATE_SHOTS
        distance = sum(abs(counts.get(k, 0) / shots - chances.get(k, 0)) for k in counts.keys() | chances) / 2
        assert distance < 0.4
        return
    assert shots == SHOTS
    if candidate.precision is Precision.FLOAT8:
        distance = sum(abs(counts.get(k, 0) / shots - chances.get(k, 0)) for k in counts.keys() | chances) / 2
        assert distance < 0.1
        return
    assert all(chances.get(key, 0) > 1e-9 for key in counts), "an outcome that cannot be"
    common = [key for key, chance in chances.items() if chance * shots >= 5]
    found = [counts.get(key, 0) for key in common]
    expected = [chances[key] * shots for key in common]
    rest = shots - sum(expected)
    if rest > 1:
        found.append(shots - sum(found))
        expected.append(rest)
    scale = sum(found) / sum(expected)
    assert len(found) == 1 or chisquare(found, [scale * value for value in expected]).pvalue > 1e-6


every_candidate = pytest.mark.parametrize("candidate", CANDIDATES, ids=str)


@every_candidate
def test_counts_are_drawn_from_the_exact_distribution(candidate: Candidate) -> None:
    supported = 0
    for circuit in CIRCUITS.values():
        outcome = run(candidate, workload(circuit, candidate))
        if outcome is not None:
            supported += 1
            assert_drawn_from(dict(outcome.counts), reference.distribution(circuit), candidate)
    assert supported >= 2


@every_candidate
def test_a_seed_gives_the_same_shots_and_another_gives_others(candidate: Candidate) -> None:
    for name in ("product 5", "clifford 5", "dense 5"):
        work = workload(CIRCUITS[name], candidate, per_shot_memory=True)
        first = run(candidate, work)
        if first is None:
            continue
        assert first.memory is not None
        assert len(first.memory) == work.options.shots
        assert {key: first.memory.count(key) for key in set(first.memory)} == dict(first.counts)
        again = run(candidate, work)
        other = run(candidate, replace(work, options=replace(work.options, seed=12)))
        assert again is not None
        assert other is not None
        assert again.memory == first.memory
        assert other.memory != first.memory


@every_candidate
def test_shots_are_in_random_order(candidate: Candidate) -> None:
    """Sorted shots would make independent parts look correlated when they are joined."""
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.measure_all()
    outcome = run(candidate, workload(circuit, candidate, per_shot_memory=True))
    assert outcome is not None
    assert outcome.memory is not None
    shots = len(outcome.memory)
    first, second = outcome.memory[: shots // 2], outcome.memory[shots // 2 :]
    for key in range(4):
        assert abs(first.count(key) - second.count(key)) < 6 * (shots / 4) ** 0.5


@every_candidate
@pytest.mark.parametrize("name", ["clifford 4", "dense 4", "product 5"])
def test_states_probabilities_and_means(candidate: Candidate, name: str) -> None:
    circuit = CIRCUITS[name]
    exact = Statevector(circuit.remove_final_measurements(inplace=False))
    tolerance = TOLERANCE[candidate.precision]
    got = run(candidate, workload(circuit, candidate, state=True))
    if got is not None and candidate.method not in APPROXIMATE:
        assert got.state is not None
        assert 1 - abs(np.vdot(got.state, exact.data)) ** 2 < INFIDELITY[candidate.precision]
    got = run(candidate, workload(circuit, candidate, probabilities=True))
    if got is not None and candidate.method not in APPROXIMATE:
        assert got.probabilities is not None
        found = np.array([got.probabilities.get(i, 0.0) for i in range(2**circuit.num_qubits)])
        assert np.abs(found - exact.probabilities()).max() < tolerance
    observables = (
        "Z" * circuit.num_qubits,
        "X" + "I" * (circuit.num_qubits - 1),
        "I" * (circuit.num_qubits - 2) + "YZ",
    )
    got = run(candidate, workload(circuit, candidate, observables=observables))
    if got is not None:
        for mean, text in zip(got.expectations, observables, strict=True):
            assert mean.observable == text
            slack = 6 * mean.standard_error + (0.2 if candidate.method in APPROXIMATE else tolerance)
            assert abs(mean.value - exact.expectation_value(SparsePauliOp(text)).real) < slack


@every_candidate
def test_sums_of_paulis(candidate: Candidate) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.h(1)
    circuit.s(1)
    circuit.measure_all()
    outcome = run(candidate, workload(circuit, candidate, observables=("0.5*IX - 2*YI + 1.5*II",)))
    if outcome is None:
        return
    (mean,) = outcome.expectations
    assert (
        abs(mean.value - (0.5 - 2 + 1.5))
        < max(1e-5, TOLERANCE[candidate.precision]) + 6 * mean.standard_error
    )


@every_candidate
@pytest.mark.parametrize("kind", ["clifford", "dense", "dynamic"])
def test_noise(candidate: Candidate, kind: str) -> None:
    circuit = noisy_circuit(kind)
    for noise in NOISE.values():
        work = workload(circuit, candidate, noise=noise)
        outcome = run(candidate, work)
        if outcome is not None:
            assert_drawn_from(dict(outcome.counts), reference.distribution(circuit, noise), candidate)


@every_candidate
@pytest.mark.parametrize("kind", ["clifford", "dense"])
def test_means_and_probabilities_with_noise(candidate: Candidate, kind: str) -> None:
    circuit = noisy_circuit(kind)
    bare = circuit.remove_final_measurements(inplace=False)
    tolerance = TOLERANCE[candidate.precision]
    for noise in NOISE.values():
        outcome = run(candidate, workload(circuit, candidate, noise=noise, observables=("ZZZ", "IXX")))
        # Bits are read wrongly; observables are not.
        (rho,) = reference.final(bare, noise).values()
        for mean in outcome.expectations if outcome is not None else ():
            exact = np.trace(rho @ reference.pauli(mean.observable)).real
            assert abs(mean.value - exact) < tolerance + 6 * mean.standard_error
        outcome = run(candidate, workload(circuit, candidate, noise=noise, probabilities=True))
        if outcome is None:
            continue
        assert outcome.probabilities is not None
        chances = reference.distribution(circuit, noise)
        for key in chances.keys() | outcome.probabilities.keys():
            assert abs(outcome.probabilities.get(key, 0) - chances.get(key, 0)) < tolerance


@every_candidate
def test_noise_follows_gates_on_two_qubits(candidate: Candidate) -> None:
    """Gates on three qubits are lowered first, other gates are not, whatever the engine knows."""
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.ccx(0, 1, 2)
    circuit.ch(2, 0)
    circuit.iswap(0, 1)
    circuit.measure_all()
    noise = Noise(0.05, 0.1, 0.05, 0.05)
    outcome = run(candidate, workload(circuit, candidate, noise=noise))
    if outcome is not None:
        exact = reference.distribution(lower_to_two_qubit(circuit), noise)
        assert_drawn_from(dict(outcome.counts), exact, candidate)


@every_candidate
def test_more_bits_than_a_machine_word(candidate: Candidate) -> None:
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(70, "wide"))
    circuit.x(0)
    circuit.measure([0, 1], [69, 0])
    outcome = run(candidate, workload(circuit, candidate))
    assert outcome is not None
    assert sum(outcome.counts.values()) == outcome.counts.get(1 << 69)


def test_every_method_has_noise_covered_by_somebody() -> None:
    """No noise model is left that nobody can run."""
    for kind in ("clifford", "dense", "dynamic"):
        for noise in NOISE.values():
            works = [(c, workload(noisy_circuit(kind), c, noise=noise)) for c in CANDIDATES]
            assert any(simulator(c.engine).supports(c, w.facts, w.options) is None for c, w in works)
