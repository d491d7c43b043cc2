"""Conditions of a dynamic circuit, evaluated on the clbits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from qiskit.circuit import Clbit
from qiskit.circuit.classical import expr, types

from qvirt.errors import Unsupported

_BINARY: dict[expr.Binary.Op, Callable[[int, int], int]] = {
    expr.Binary.Op.BIT_AND: operator.and_,
    expr.Binary.Op.BIT_OR: operator.or_,
    expr.Binary.Op.BIT_XOR: operator.xor,
    expr.Binary.Op.LOGIC_AND: lambda a, b: bool(a) and bool(b),
    expr.Binary.Op.LOGIC_OR: lambda a, b: bool(a) or bool(b),
    expr.Binary.Op.EQUAL: operator.eq,
    expr.Binary.Op.NOT_EQUAL: operator.ne,
    expr.Binary.Op.LESS: operator.lt,
    expr.Binary.Op.LESS_EQUAL: operator.le,
    expr.Binary.Op.GREATER: operator.gt,
    expr.Binary.Op.GREATER_EQUAL: operator.ge,
    expr.Binary.Op.SHIFT_LEFT: operator.lshift,
    expr.Binary.Op.SHIFT_RIGHT: operator.rshift,
}


def holds(condition: Any, bits: int, number: Mapping[Clbit, int]) -> bool:
    """Whether an if's condition holds where bit ``number[clbit]`` of ``bits`` is each clbit's value.

    Raises Unsupported for variables and for operations that are not known here.
    """
    if isinstance(condition, expr.Expr):
        return bool(value(condition, bits, number))
    target, wanted = condition
    return value(target, bits, number) == int(wanted)


def value(target: Any, bits: int, number: Mapping[Clbit, int]) -> int:
    """Of an expression, a clbit or a register. Raises Unsupported as ``holds`` does."""
    return _value(target, bits, number) if isinstance(target, expr.Expr) else _read(target, bits, number)


def _value(node: expr.Expr, bits: int, number: Mapping[Clbit, int]) -> int:
    if isinstance(node, expr.Value):
        return int(node.value)
    if isinstance(node, expr.Var) and not node.standalone:
        return _read(node.var, bits, number)
    if isinstance(node, expr.Cast):
        operand = _value(node.operand, bits, number)
        return bool(operand) if isinstance(node.type, types.Bool) else operand & _mask(node)
    if isinstance(node, expr.Unary):
        operand = _value(node.operand, bits, number)
        return not operand if node.op is expr.Unary.Op.LOGIC_NOT else ~operand & _mask(node)
    if isinstance(node, expr.Index):
        return _value(node.target, bits, number) >> _value(node.index, bits, number) & 1
    if isinstance(node, expr.Binary) and node.op in _BINARY:
        return _BINARY[node.op](_value(node.left, bits, number), _value(node.right, bits, number)) & _mask(
            node
        )
    raise Unsupported(f"a condition with {type(node).__name__.lower()} is not supported by this engine")


def _read(target: Any, bits: int, number: Mapping[Clbit, int]) -> int:
    """The value of a clbit or of a register, whose bit 0 is its first."""
    clbits = [target] if isinstance(target, Clbit) else target
    return sum((bits >> number[clbit] & 1) << place for place, clbit in enumerate(clbits))


def _mask(node: expr.Expr) -> int:
    """All the bits that a value of the node's type has."""
    return (1 << node.type.width) - 1 if isinstance(node.type, types.Uint) else 1
