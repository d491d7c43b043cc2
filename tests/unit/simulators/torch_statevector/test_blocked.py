"""The fast path on CPUs against each gate's definition."""

from __future__ import annotations

import numpy as np
import pytest
from torch_gates import H, applied, haar, random_operations

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector import blocks
from qvirt.simulators.torch_statevector.fusion import fuse
from qvirt.simulators.torch_statevector.operations import Dense, Operation
from qvirt.simulators.torch_statevector.stages import ROW_BITS
from qvirt.simulators.torch_statevector.sweeps import sweeps
from qvirt.simulators.torch_statevector.unitary import Traits

torch = pytest.importorskip("torch", reason="torch is not installed")

from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for  # noqa: E402
from qvirt.simulators.torch_statevector.blocked import BlockedUnitary, is_for  # noqa: E402

DOUBLE = Traits("cpu", Precision.DOUBLE, 2)


def run(
    operations: list[Operation], states: np.ndarray, traits: Traits = DOUBLE, bits: int | None = None
) -> np.ndarray:
    num_qubits = states.shape[-1].bit_length() - 1
    amplitudes = Amplitudes(len(states), num_qubits, format_for(traits.precision, "cpu"), "cpu")
    amplitudes.tensor.copy_(torch.as_tensor(states))
    unitary = BlockedUnitary(operations, num_qubits, traits, bits)
    for index in range(len(unitary)):
        unitary.run(amplitudes, index)
    numbers = np.arange(1 << num_qubits)
    places = sum((numbers >> qubit & 1) << place for qubit, place in enumerate(unitary.moved))
    return amplitudes.tensor.numpy()[:, places]


def random_states(rows: int, num_qubits: int, seed: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(rows, 1 << num_qubits)) + 1j * rng.normal(size=(rows, 1 << num_qubits))
    return states / np.linalg.norm(states, axis=1)[:, None]


def expected(operations: list[Operation], states: np.ndarray) -> np.ndarray:
    for operation in operations:
        states = np.array([applied(operation, state) for state in states])
    return states


@pytest.mark.parametrize("bits", [12, 10, 9, 8])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_any_size_give_the_gates(seed: int, bits: int) -> None:
    operations = random_operations(12, 120, np.random.default_rng(seed))
    states = random_states(1, 12)
    assert np.allclose(run(operations, states, bits=bits), expected(operations, states), atol=1e-12)


@pytest.mark.parametrize("num_qubits", [1, 2, 3, 4, 5, 7])
def test_small_states(num_qubits: int) -> None:
    rng = np.random.default_rng(num_qubits)
    operations: list[Operation] = [Dense((int(rng.integers(num_qubits)),), haar(2, rng)) for _ in range(9)]
    if num_qubits >= 3:
        operations += random_operations(num_qubits, 40, rng)
    states = random_states(1, num_qubits)
    assert np.allclose(run(operations, states), expected(operations, states), atol=1e-12)


@pytest.mark.parametrize("bits", [9, 8])
def test_rows_are_states_of_their_own(bits: int) -> None:
    operations = random_operations(9, 60, np.random.default_rng(4))
    states = random_states(5, 9)
    assert np.allclose(run(operations, states, bits=bits), expected(operations, states), atol=1e-12)


def test_single_precision() -> None:
    operations = random_operations(12, 100, np.random.default_rng(5))
    states = random_states(1, 12)
    single = run(operations, states, Traits("cpu", Precision.SINGLE, 2), bits=9)
    assert np.abs(single - expected(operations, states)).max() < 2e-6


@pytest.mark.parametrize("bits", [14, 13, 12])
def test_blocks_large_enough_to_leave_their_lowest_qubits_alone(bits: int) -> None:
    operations = random_operations(14, 150, np.random.default_rng(bits))
    states = random_states(1, 14)
    single = run(operations, states, Traits("cpu", Precision.SINGLE, 2), bits=bits)
    assert np.abs(single - expected(operations, states)).max() < 2e-6


def test_blocks_of_zeros_are_found_out_even_where_others_begin_with_zero() -> None:
    state = np.zeros((1, 1 << 12), complex)
    state[0, [5, 2000, 4095]] = 0.6, 0.6j, np.sqrt(0.28)
    operations = random_operations(12, 30, np.random.default_rng(6))
    assert np.allclose(run(operations, state, bits=8), expected(operations, state), atol=1e-12)


def test_one_thread_and_three_give_the_same_bits() -> None:
    operations = random_operations(12, 100, np.random.default_rng(8))
    states = random_states(1, 12)
    one, three = (run(operations, states, Traits("cpu", Precision.DOUBLE, n), bits=9) for n in (1, 3))
    assert np.array_equal(one, three)


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    run([Dense((11,), H.astype(complex))], random_states(1, 12), bits=9)
    assert torch.get_num_threads() == before


def test_every_sweep_holds_whole_rows_and_no_more_qubits_than_a_block() -> None:
    operations = random_operations(20, 400, np.random.default_rng(9))
    planned, moved = sweeps(fuse(operations, 20), 20, 14)
    assert sorted(moved) == list(range(20))
    for sweep in planned:
        assert len(sweep.local) == 14
        assert sweep.local[:ROW_BITS] == tuple(range(ROW_BITS))
        assert sum(len(stage.steps) for stage in sweep.stages) <= blocks.MOST_STEPS
        assert all(sorted(stage.order) == sorted(sweep.order) for stage in sweep.stages)


def test_the_same_operations_give_the_same_sweeps() -> None:
    operations = random_operations(16, 200, np.random.default_rng(10))
    first, second = (sweeps(fuse(operations, 16), 16, 12) for _ in range(2))
    assert first[1] == second[1]
    assert [sweep.local for sweep in first[0]] == [sweep.local for sweep in second[0]]
    assert [[stage.order for stage in sweep.stages] for sweep in first[0]] == [
        [stage.order for stage in sweep.stages] for sweep in second[0]
    ]


def test_there_are_enough_blocks_for_the_threads() -> None:
    for num_qubits in range(18, 30):
        for threads in (1, 2, 16):
            bits = blocks.block_bits(num_qubits, Precision.SINGLE, threads)
            assert 1 << num_qubits - bits >= 4 * threads


def test_it_is_for_one_matrix_in_numbers_of_a_cpu() -> None:
    one = Dense((0,), H.astype(complex))
    batch = Dense((0,), np.array([H, H], complex))
    assert is_for([one], DOUBLE)
    assert not is_for([one, batch], DOUBLE)
    assert not is_for([one], Traits("cpu", Precision.HALF))
    assert not is_for([one], Traits("cuda:0", Precision.SINGLE))
