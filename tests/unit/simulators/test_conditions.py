"""Conditions on clbits and registers, as Qiskit writes them."""

from __future__ import annotations

from typing import Any

import pytest
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qvirt.errors import Unsupported
from qvirt.simulators.conditions import holds

LOW, HIGH = ClassicalRegister(3, "low"), ClassicalRegister(2, "high")
NUMBER: dict[Clbit, int] = {clbit: place for place, clbit in enumerate([*LOW, *HIGH])}
BITS = 0b10_011
"""low is 3, high is 2."""


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ((LOW[0], 1), True),
        ((LOW[2], 1), False),
        ((LOW[2], False), True),
        ((LOW, 3), True),
        ((HIGH, 1), False),
        (expr.lift(LOW[1]), True),
        (expr.logic_not(LOW[1]), False),
        (expr.equal(HIGH, 2), True),
        (expr.not_equal(HIGH, 2), False),
        (expr.less(HIGH, LOW), True),
        (expr.greater_equal(LOW, 4), False),
        (expr.logic_and(LOW[0], expr.bit_not(LOW[2])), True),
        (expr.logic_or(LOW[2], HIGH[0]), False),
        (expr.bit_xor(LOW[0], HIGH[1]), False),
        (expr.equal(expr.bit_and(LOW, 0b110), 0b010), True),
        (expr.equal(expr.bit_not(LOW), 0b100), True),
        (expr.equal(expr.shift_left(LOW, 2), 0b100), True),
        (expr.index(HIGH, 1), True),
        (expr.cast(HIGH, types.Bool()), True),
    ],
)
def test_holds(condition: Any, expected: bool) -> None:
    assert holds(condition, BITS, NUMBER) is expected


def test_variables_are_not_known() -> None:
    with pytest.raises(Unsupported, match="var"):
        holds(expr.Var.new("flag", types.Bool()), BITS, NUMBER)
