"""Conditions in the expressions that Aer evaluates rightly.

Aer 0.18 does not know bits of registers by number, and takes a register as true where its bit 0 is set.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.classical import expr, types

from qvirt.errors import Unsupported


def with_plain_conditions(circuit: QuantumCircuit) -> QuantumCircuit:
    """Raises Unsupported for what Aer cannot be told."""
    if not any(step.is_control_flow() for step in circuit.data):
        return circuit
    made = circuit.copy_empty_like()
    for step in circuit.data:
        made._append(
            step.replace(operation=_plain_operation(step.operation)) if step.is_control_flow() else step
        )
    return made


def _plain_operation(operation: Any) -> Any:
    blocks = [with_plain_conditions(block) for block in getattr(operation, "blocks", ())]
    if isinstance(operation, IfElseOp):
        return IfElseOp(_plain(operation.condition), *blocks)
    if isinstance(operation, WhileLoopOp):
        return WhileLoopOp(_plain(operation.condition), *blocks)
    if isinstance(operation, SwitchCaseOp):
        cases = zip((values for values, _ in operation.cases_specifier()), blocks, strict=True)
        return SwitchCaseOp(_plain(operation.target), cases)
    return operation.replace_blocks(blocks) if blocks else operation


def _plain(node: Any) -> Any:
    if isinstance(node, expr.Index) and isinstance(node.index, expr.Value) and not _standalone(node.target):
        return expr.lift(node.target.var[node.index.value])
    if isinstance(node, expr.Cast):
        operand = _plain(node.operand)
        if isinstance(node.type, types.Bool) and isinstance(operand.type, types.Uint):
            return expr.not_equal(operand, 0)
        return expr.Cast(operand, node.type, implicit=node.implicit)
    if isinstance(node, expr.Unary):
        return expr.Unary(node.op, _plain(node.operand), node.type)
    if isinstance(node, expr.Binary) and node.op not in (
        expr.Binary.Op.SHIFT_LEFT,
        expr.Binary.Op.SHIFT_RIGHT,
    ):
        return expr.Binary(node.op, _plain(node.left), _plain(node.right), node.type)
    if isinstance(node, (expr.Index, expr.Binary)):
        raise Unsupported("Aer cannot evaluate a shift or an index in a condition", hint="try --engine ddsim")
    return node


def _standalone(node: Any) -> bool:
    return not isinstance(node, expr.Var) or node.standalone
