"""Conditions of OpenQASM 3 that are more than one comparison, as Qiskit's classical expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openqasm3 import ast
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types
from qiskit_qasm3_import.exceptions import raise_from_node

_BINARY: dict[str, Callable[[Any, Any], expr.Expr]] = {
    "&&": expr.logic_and,
    "||": expr.logic_or,
    "&": expr.bit_and,
    "|": expr.bit_or,
    "^": expr.bit_xor,
    "==": expr.equal,
    "!=": expr.not_equal,
    "<": expr.less,
    "<=": expr.less_equal,
    ">": expr.greater,
    ">=": expr.greater_equal,
}
_UNARY: dict[str, Callable[[Any], expr.Expr]] = {"!": expr.logic_not, "~": expr.bit_not}


def condition(node: ast.Expression, resolve: Callable[[Any], Any]) -> expr.Expr:
    """``resolve`` gives the value of what is no operator: a bit, a register or a number.

    Raises ConversionError at the part that Qiskit has no expression for.
    """
    if isinstance(node, ast.BinaryExpression) and node.op.name in _BINARY:
        return _apply(node, _BINARY[node.op.name], condition(node.lhs, resolve), condition(node.rhs, resolve))
    if isinstance(node, ast.UnaryExpression) and node.op.name in _UNARY:
        return _apply(node, _UNARY[node.op.name], condition(node.expression, resolve))
    if isinstance(node, ast.Cast) and isinstance(node.type, ast.BoolType):
        return expr.cast(condition(node.argument, resolve), types.Bool())
    value = resolve(node)
    if not isinstance(value, (Clbit, ClassicalRegister, bool, int)):
        raise_from_node(node, "this cannot stand in a condition")
    return expr.lift(value)


def _apply(node: ast.Expression, operator: Callable[..., expr.Expr], *operands: expr.Expr) -> expr.Expr:
    if operator in (expr.equal, expr.not_equal):
        operands = _as_booleans(operands)
    try:
        return operator(*operands)
    except (TypeError, ValueError) as error:
        raise_from_node(node, f"this condition is not possible: {error}")


def _as_booleans(operands: tuple[expr.Expr, ...]) -> tuple[expr.Expr, ...]:
    """``c[0] == 1`` means ``c[0] == true``."""
    if not any(operand.type == types.Bool() for operand in operands):
        return operands
    return tuple(
        expr.lift(bool(operand.value))
        if isinstance(operand, expr.Value) and operand.value in (0, 1)
        else operand
        for operand in operands
    )
