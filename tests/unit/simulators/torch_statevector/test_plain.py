"""The plain path and what is read from a state, against Qiskit's dense ones."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import numpy as np
import torch
from numpy.random import default_rng
from qiskit import QuantumCircuit
from qiskit.circuit.library import RYGate
from qiskit.quantum_info import SparsePauliOp, Statevector, partial_trace
from scipy.stats import chisquare

from qvirt.model.run import Precision
from qvirt.simulators.lowering import lower
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
from qvirt.simulators.torch_statevector.operations import (
    LARGEST_MATRIX,
    Dense,
    Diagonal,
    Operation,
    Permutation,
    basis,
    operation,
)
from qvirt.simulators.torch_statevector.plain import PlainUnitary
from qvirt.simulators.torch_statevector.rounded import RoundedUnitary
from qvirt.simulators.torch_statevector.sizes import state_bytes
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.unitary import Traits

LOSS = {
    Precision.DOUBLE: 1e-12,
    Precision.SINGLE: 1e-10,
    Precision.HALF: 1e-6,
    Precision.BFLOAT16: 1e-4,
    Precision.FLOAT8: 1e-2,
}
"""Of the fidelity, after some 80 gates."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads wait for one another on a busy machine."""
    torch.set_num_threads(1)


def gates(num_qubits: int, seed: int) -> QuantumCircuit:
    rng = default_rng(seed)
    circuit = QuantumCircuit(num_qubits)
    circuit.h(range(num_qubits))
    for _ in range(12):
        a, b, c, d = (int(q) for q in rng.permutation(num_qubits)[:4])
        circuit.ry(float(rng.uniform(-3, 3)), a)
        circuit.cx(a, b)
        circuit.cp(float(rng.uniform(-3, 3)), b, c)
        circuit.swap(c, d)
        circuit.rxx(float(rng.uniform(-3, 3)), d, a)
        circuit.ccx(a, d, b)
    circuit.mcx([0, num_qubits - 1, 1], 2)
    circuit.mcp(0.7, [3, 1, 0], num_qubits - 1)
    circuit.append(RYGate(0.7).control(3, ctrl_state=2), [3, 1, num_qubits - 1, 0])
    return circuit


def operations(circuit: QuantumCircuit) -> list[Operation]:
    lowered = lower(circuit, basis(), LARGEST_MATRIX)
    return [operation(s, [lowered.find_bit(q).index for q in s.qubits]) for s in lowered.data]


def run(state: State, circuit: QuantumCircuit, tile_bits: int | None = None) -> None:
    planes = not state.amplitudes.format.complex_work
    bits = state.amplitudes.num_qubits
    unitary = PlainUnitary(operations(circuit), bits, state.traits, tile_bits, planes)
    for index in range(len(unitary)):
        unitary.run(state.amplitudes, index)


@pytest.mark.parametrize("planes", [False, True], ids=["complex", "planes"])
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("num_qubits", "tile_bits"), [(5, None), (13, 12)])
def test_gates(num_qubits: int, tile_bits: int | None, precision: Precision, planes: bool) -> None:
    """In every format, the state whole and in tiles."""
    circuit = gates(num_qubits, 3)
    state = State.zero(2, num_qubits, Traits(precision=precision), planes)
    run(state, circuit, tile_bits)
    exact = Statevector(circuit).data
    for row in (0, 1):
        found = state.select(np.array([row])).numpy()
        assert 1 - abs(np.vdot(found, exact)) ** 2 < LOSS[precision]


@pytest.mark.parametrize("precision", [Precision.HALF, Precision.BFLOAT16, Precision.FLOAT8])
@pytest.mark.parametrize(("num_qubits", "tile_bits"), [(5, None), (14, 12)])
def test_tiles_in_single_precision(num_qubits: int, tile_bits: int | None, precision: Precision) -> None:
    circuit = gates(num_qubits, 3)
    state = State.zero(2, num_qubits, Traits(precision=precision))
    unitary = RoundedUnitary(operations(circuit), num_qubits, state.traits, tile_bits)
    for index in range(len(unitary)):
        unitary.run(state.amplitudes, index)
    exact = Statevector(circuit).data
    for row in (0, 1):
        found = state.select(np.array([row])).numpy()
        assert 1 - abs(np.vdot(found, exact)) ** 2 < LOSS[precision]


@pytest.mark.parametrize("planes", [False, True], ids=["complex", "planes"])
def test_a_matrix_for_each_row(planes: bool) -> None:
    angles = np.array([0.3, 1.9, -2.0])
    matrices = np.array([RYGate(angle).to_matrix() for angle in angles])
    phases = np.exp(1j * np.outer(angles, [0, 1, 2, 3]))
    state = State.zero(3, 6, Traits(), planes)
    state.apply([Dense((4,), matrices), Dense((1,), matrices, (4,), 1), Diagonal((1, 4), phases)])
    for row, angle in enumerate(angles):
        circuit = QuantumCircuit(6)
        circuit.ry(angle, 4)
        circuit.cry(angle, 4, 1)
        circuit.p(angle, 1)
        circuit.p(2 * angle, 4)
        exact = Statevector(circuit).data
        assert np.allclose(state.select(np.array([row])).numpy(), exact)


def test_permutations_of_any_cycles() -> None:
    targets = (3, 0, 1, 2, 4, 6, 5, 7)
    state = State.zero(1, 5, Traits())
    run(state, gates(5, 1))
    before = state.numpy()
    state.apply([Permutation((4, 1, 2), targets, (0,), 0)])
    after = state.numpy()
    for index in range(32):
        bits = [index >> q & 1 for q in range(5)]
        if bits[0] == 0:
            moved = targets[bits[4] | bits[1] << 1 | bits[2] << 2]
            bits[4], bits[1], bits[2] = moved & 1, moved >> 1 & 1, moved >> 2 & 1
        assert after[sum(bit << q for q, bit in enumerate(bits))] == before[index]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("rows", [1, 3])
def test_memory_is_what_was_said(precision: Precision, rows: int) -> None:
    for num_qubits in (2, 9):
        amplitudes = Amplitudes(rows, num_qubits, format_for(precision, "cpu"), "cpu")
        taken = sum(kept.numel() * kept.element_size() for kept in amplitudes.kept())
        assert taken == state_bytes(rows, num_qubits, precision)


@pytest.mark.parametrize("planes", [False, True], ids=["complex", "planes"])
def test_readings(planes: bool) -> None:
    """17 qubits: more than are read at a time."""
    circuit = gates(17, 5)
    exact = Statevector(circuit)
    state = State.zero(1, 17, Traits(), planes)
    run(state, circuit)
    state.renamed([1, 0, *range(2, 17)])
    turned = QuantumCircuit(17)
    turned.swap(0, 1)
    exact = exact.evolve(turned)
    for qubit in (0, 1, 16):
        assert state.chance_of_one(qubit)[0] == pytest.approx(exact.probabilities([qubit])[1])
    assert np.allclose(state.marginal([16, 0, 3])[0], exact.probabilities([16, 0, 3]))
    assert state.norm()[0] == pytest.approx(1.0)
    sums = SparsePauliOp.from_sparse_list(
        [("XY", [0, 16], 0.5), ("YX", [0, 16], -1), ("Z", [3], 2), ("ZX", [1, 16], 1), ("", [], 0.3)], 17
    )
    assert state.expectation(sums)[0] == pytest.approx(exact.expectation_value(sums).real)
    held = partial_trace(exact, [q for q in range(17) if q not in (0, 16)])
    assert np.allclose(state.reduced([0, 16])[0], held.data)
    assert abs(np.vdot(state.numpy(), exact.data)) == pytest.approx(1.0)


def test_collapse_and_reset() -> None:
    circuit = gates(6, 2)
    state = State.zero(2, 6, Traits())
    run(state, circuit)
    chances = state.chance_of_one(4)
    outcomes = np.array([True, False])
    state.collapse(4, outcomes, np.where(outcomes, chances, 1 - chances))
    assert np.allclose(state.chance_of_one(4), [1, 0])
    assert np.allclose(state.norm(), 1)
    state.collapse(4, outcomes, np.ones(2), reset=True)
    assert np.allclose(state.chance_of_one(4), 0)
    assert np.allclose(state.norm(), 1)


@pytest.mark.parametrize("precision", [Precision.DOUBLE, Precision.HALF])
def test_shots_of_one_row_and_of_many(precision: Precision) -> None:
    circuit = gates(5, 7)
    state = State.zero(3, 5, Traits(precision=precision))
    run(state, circuit)
    rng = default_rng(1)
    chances = Statevector(circuit).probabilities()
    drawn = state.sample(np.array([20_000, 0, 20_000]), rng)
    assert len(drawn) == 40_000
    single = state.select(np.array([1])).sample(np.array([20_000]), rng)
    each = state.sample_each(20_000, [default_rng(row) for row in range(3)])
    for found in (drawn[:20_000], drawn[20_000:], single, *each):
        counts = np.bincount(found, minlength=32)
        common = chances * 20_000 > 5
        assert counts[chances < 1e-9].sum() == 0
        expected = chances[common] / chances[common].sum() * counts[common].sum()
        assert chisquare(counts[common], expected).pvalue > 1e-5
