"""Fused steps are the same unitary as the gates they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from torch_gates import CX, CZ, H, applied, haar, random_operations

from qvirt.simulators.torch_statevector.fusion import WIDEST, Phase, fuse
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Operation, Permutation, from_matrix
from qvirt.simulators.torch_statevector.pairing import opened, paired

SWAP = (0, 2, 1, 3)


def state_after(steps: list[Operation | Phase], num_qubits: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    state = rng.normal(size=1 << num_qubits) + 1j * rng.normal(size=1 << num_qubits)
    for step in steps:
        state = turned(step, state) if isinstance(step, Phase) else applied(step, state)
    return state


def turned(phase: Phase, state: np.ndarray) -> np.ndarray:
    bits = np.arange(len(state))[:, None] >> np.arange(len(phase.linear)) & 1
    angles = phase.constant + bits @ phase.linear + ((bits @ phase.coupling) * bits).sum(1)
    return state * np.exp(1j * angles)


@pytest.mark.parametrize("seed", range(8))
def test_fused_steps_are_the_gates(seed: int) -> None:
    operations = random_operations(9, 80, np.random.default_rng(seed))
    fused = fuse(operations, 9)
    assert len(fused) < len(operations) / 2
    assert np.allclose(state_after(fused, 9), state_after(operations, 9), atol=1e-11)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_the_gates(seed: int) -> None:
    operations = random_operations(6, 60, np.random.default_rng(seed))
    gates = [
        gate.operation if gate.matrix is None else Dense(gate.qubits, gate.matrix)
        for gate in paired(operations, 6)
    ]
    assert np.allclose(state_after(gates, 6), state_after(operations, 6), atol=1e-11)


def test_no_block_is_wider_than_a_product_is_fast() -> None:
    fused = fuse(random_operations(9, 80, np.random.default_rng(1), largest=2), 9)
    assert max(len(step.qubits) for step in fused if isinstance(step, Dense)) == WIDEST


def test_a_rotation_between_two_cx_is_a_phase() -> None:
    rz = Diagonal((1,), np.exp([-0.2j, 0.2j]))
    (gate,) = paired([Permutation((1,), (1, 0), (0,), 1), rz, Permutation((1,), (1, 0), (0,), 1)], 2)
    assert gate.is_phase
    assert np.allclose(gate.diagonal, np.exp([-0.2j, 0.2j, 0.2j, -0.2j]))


def test_a_diagonal_that_is_not_unitary_keeps_its_lengths() -> None:
    """Channels on a density matrix have such ones."""
    operations: list[Operation] = [
        Diagonal((1, 3), np.array([1, 0.9, 0.9j, 0.5])),
        Diagonal((2,), np.array([1, 0])),
    ]
    operations.append(from_matrix(CZ, [0, 3]))
    assert np.allclose(state_after(fuse(operations, 4), 4), state_after(operations, 4))


def test_many_controlled_phases_are_one_step() -> None:
    operations: list[Operation] = [
        Diagonal((a,), np.array([1, np.exp(0.1j * (a + b))]), (b,), 1) for a in range(10) for b in range(a)
    ]
    (phase,) = fuse(operations, 10)
    assert isinstance(phase, Phase)
    assert np.allclose(state_after([phase], 10), state_after(operations, 10))


def test_a_fourier_transform_takes_few_steps() -> None:
    operations: list[Operation] = []
    for a in reversed(range(16)):
        operations.append(from_matrix(H, [a]))
        operations += [
            Diagonal((a,), np.array([1, np.exp(1j * np.pi / 2 ** (a - b))]), (b,), 1) for b in range(a)
        ]
    fused = fuse(operations, 16)
    assert sum(isinstance(step, Phase) for step in fused) <= 4
    assert len(fused) <= 10


def test_gates_that_commute_may_pass_one_another() -> None:
    rng = np.random.default_rng(2)
    inner, outer = Dense((0, 1), haar(4, rng)), Dense((4, 5), haar(4, rng))
    operations: list[Operation] = [from_matrix(CZ, [1, 4]), from_matrix(CZ, [0, 5]), from_matrix(CZ, [0, 1])]
    operations += [from_matrix(CZ, [4, 5]), inner, outer]
    assert np.allclose(state_after(fuse(operations, 6), 6), state_after(operations, 6))


def test_a_gate_with_many_controls_stays_as_it_is() -> None:
    gate = Dense((0,), haar(2, np.random.default_rng(3)), tuple(range(1, 9)), 0b10110101)
    assert fuse([gate], 9) == [gate]


def test_the_second_qubit_of_a_pair_is_the_higher_bit() -> None:
    operations: list[Operation] = [from_matrix(CX, [3, 1]), Permutation((1, 3), SWAP), from_matrix(H, [1])]
    assert np.allclose(state_after(fuse(operations, 4), 4), state_after(operations, 4))


def test_controls_are_opened_above_the_qubits() -> None:
    matrix = opened(Permutation((0,), (1, 0), (1, 2), 0b01))
    assert np.array_equal(np.flatnonzero(np.diagonal(matrix) == 0), [2, 3])
