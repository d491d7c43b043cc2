"""Orders of qubits for several steps at once."""

from __future__ import annotations

import numpy as np

from qvirt.simulators.torch_statevector.operations import Dense
from qvirt.simulators.torch_statevector.stages import Stage, stages, window


def block(*qubits: int) -> Dense:
    return Dense(qubits, np.eye(1 << len(qubits), dtype=complex))


def staged(blocks: list[Dense], size: int = 17) -> list[Stage]:
    return list(stages(blocks, range(size)))


def test_steps_that_share_qubits_in_a_row_take_one_order() -> None:
    (stage,) = staged([block(5, 9, 7, 11), block(11, 6, 13, 7), block(13, 15, 16), block(5, 4)])
    assert all(window(stage.order, step.qubits) is not None for step in stage.steps)
    assert len(stage.steps) == 4


def test_a_step_that_joins_two_others_stands_between_them() -> None:
    (stage,) = staged([block(5, 6, 7), block(10, 11, 12), block(7, 8, 12)])
    assert window(stage.order, (7, 8, 12)) is not None


def test_a_qubit_in_the_middle_of_two_others_needs_another_order() -> None:
    first, second = staged([block(5, 6, 7), block(7, 8), block(6, 7, 9), block(5, 6)])
    assert len(first.steps) + len(second.steps) == 4


def test_every_step_is_in_a_stage_and_none_goes_before_one_that_it_must_follow() -> None:
    rng = np.random.default_rng(1)
    blocks = [block(*rng.permutation(17)[: rng.integers(1, 6)].tolist()) for _ in range(60)]
    turns = [step for stage in staged(blocks) for step in stage.steps]
    assert sorted(map(id, turns)) == sorted(map(id, blocks))
    for number, step in enumerate(blocks):
        for later in blocks[number + 1 :]:
            if set(step.qubits) & set(later.qubits):
                assert turns.index(step) < turns.index(later)


def test_qubits_that_stand_together_are_not_moved() -> None:
    (stage,) = staged([block(4, 5, 6, 7), block(9, 8, 10), block(13, 14, 15, 16)])
    assert stage.order == tuple(range(17))


def test_the_lowest_qubits_stay_where_nothing_needs_them() -> None:
    (stage,) = staged([block(4, 9, 14), block(5, 11, 16)])
    assert stage.order[:4] == (0, 1, 2, 3)
