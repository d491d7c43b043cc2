"""Qiskit's OpenQASM 3 importer, with more of the language, limits, and a place for every error.

Added: constants; loops over a range are written out, so that the loop variable can be an index;
conditions of any form that Qiskit has; the standard gates that stdgates.inc lacks.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

from openqasm3 import ast
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit.library import PhaseGate
from qiskit_qasm3_import import ConversionError, types
from qiskit_qasm3_import.converter import ConvertVisitor
from qiskit_qasm3_import.data import Scope, Symbol
from qiskit_qasm3_import.exceptions import raise_from_node
from qiskit_qasm3_import.expression import ValueResolver
from qiskit_qasm3_import.state import LocalScope, State

from qvirt.circuits.formats.openqasm3_conditions import condition
from qvirt.circuits.formats.openqasm3_statements import Statements
from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.standard_gates import did_you_mean, standard_gates
from qvirt.circuits.text import gate_sizes, place
from qvirt.errors import CircuitError

_POSITION = re.compile(r"(\d+),(\d+): (.*)", re.DOTALL)
_ELSEWHERE = re.compile(r"\.? (?:Previous d|D)efinition on line \d+\.?")
_NODE = re.compile(r"(?:node of type |')([A-Z]\w+)'? (?:is not supported|cannot be resolved.*)")
_WIDEST_POWER = 10
_PHASE_MODIFIERS = {ast.GateModifierName.ctrl, ast.GateModifierName.inv}


class Converter(ConvertVisitor):
    """One program, once."""

    def __init__(self, code: str, limits: ParseLimits) -> None:
        super().__init__()
        self._code = code
        self._limits = limits
        self._statements = Statements(code)
        self._sizes = gate_sizes(code, limits)
        self._operations = 0

    def circuit(self) -> QuantumCircuit:
        statements: Any = self._statements
        program = ast.Program(statements=statements)
        try:
            circuit: QuantumCircuit = self.convert(program).circuit
        except ConversionError as error:
            raise self._explain(error) from None
        return circuit

    def _explain(self, error: ConversionError) -> CircuitError:
        start = self._statements.start
        line, column = place(self._code, start)
        message = str(error.message)
        if found := _POSITION.match(message):
            down, right, message = int(found[1]) - 1, int(found[2]), found[3]
            line, column = line + down, right + (1 if down else column)
        if found := _NODE.match(message):
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", found[1]).lower()
            message = f"OpenQASM 3's {words} is not supported here"
        message = _ELSEWHERE.sub("", message)
        message = re.sub(r"Symbol ('\w+') already inserted.*", r"\1 is already defined", message)
        message = re.sub(
            r"Exceeds the limit \((\d+) digits\).*", r"a number with more than \1 digits", message
        )
        hint = None
        if found := re.search(r"gate '(\w+)' is not defined", message):
            hint = did_you_mean(found[1], {*standard_gates(), *self._sizes})
        elif "include" in message:
            hint = "put the gate definitions of that file into this one"
        return CircuitError(message, hint=hint, line=line, column=column)

    def visit(self, node: ast.QASMNode, context: State | None = None) -> Any:
        try:
            return super().visit(node, context)
        except (ConversionError, CircuitError, MemoryError):
            raise
        except Exception as error:
            text = "nested too deeply" if isinstance(error, RecursionError) else str(error).strip("'\"")
            raise_from_node(node, text or type(error).__name__)

    def generic_visit(self, node: ast.QASMNode, context: State | None = None) -> NoReturn:
        raise_from_node(node, f"node of type {type(node).__name__} is not supported")

    def visit_Include(self, node: ast.Include, context: State) -> State:  # noqa: N802
        if node.filename != "stdgates.inc":
            raise_from_node(node, f"the file includes {node.filename!r}; only stdgates.inc can be included")
        return super().visit_Include(node, context)

    def visit_QubitDeclaration(self, node: ast.QubitDeclaration, context: State) -> State:  # noqa: N802
        self._check_size(node, node.size, context, context.circuit.num_qubits, self._limits.qubits)
        return super().visit_QubitDeclaration(node, context)

    def visit_ClassicalDeclaration(  # noqa: N802
        self, node: ast.ClassicalDeclaration, context: State
    ) -> State:
        if isinstance(node.type, ast.BitType):
            self._check_size(node, node.type.size, context, context.circuit.num_clbits, self._limits.clbits)
        super().visit_ClassicalDeclaration(node, context)
        if isinstance(node.type, ast.BitType) and node.type.size is None:
            # A bit of its own keeps its name in drawings, and its place in the counts.
            bit = context.circuit.clbits[-1]
            context.circuit.add_register(ClassicalRegister(name=node.identifier.name, bits=[bit]))
        return context

    def visit_ConstantDeclaration(  # noqa: N802
        self, node: ast.ConstantDeclaration, context: State
    ) -> State:
        value, kind = self._resolve_generic(node.init_expression, context, strict=False)
        if not isinstance(value, (int, float)):
            raise_from_node(node, "only numbers can be constants here")
        if isinstance(node.type, (ast.FloatType, ast.AngleType)):
            value, kind = float(value), types.Float(const=True)
        _insert(context, Symbol(node.identifier.name, value, kind, context.scope, node))
        return context

    def visit_QuantumGate(self, node: ast.QuantumGate, context: State) -> State:  # noqa: N802
        name = node.name.name
        symbol = context.symbol_table.get(name, node)
        if symbol is None and name in standard_gates():
            gate = standard_gates()[name]
            symbol = Symbol(name, gate.make, types.Gate(gate.num_params, gate.num_qubits), Scope.GLOBAL, node)
            _insert(context, symbol)
        if symbol is not None and isinstance(symbol.type, types.Gate):
            self._check_arguments(node, symbol, context)
        self._spend(node, self._sizes.get(name, 1) * self._width(node.qubits, context))
        return super().visit_QuantumGate(node, context)

    def visit_QuantumPhase(self, node: ast.QuantumPhase, context: State) -> State:  # noqa: N802
        """The importer loses the angle of a controlled ``gphase`` where it is a gate's parameter."""
        kinds = {modifier.modifier for modifier in node.modifiers}
        if ast.GateModifierName.ctrl not in kinds or not kinds <= _PHASE_MODIFIERS:
            return super().visit_QuantumPhase(node, context)
        angle = self._resolve_angle(node.argument, context)
        controls = 0
        for modifier in node.modifiers:
            if modifier.modifier is ast.GateModifierName.inv:
                angle = -angle
            else:
                controls += self._controls(modifier, context)
        gate = PhaseGate(angle) if controls == 1 else PhaseGate(angle).control(controls - 1)
        operands: list[Any] = list(node.qubits)
        qubits = [self._resolve_qarg(operand, context) for operand in operands]
        for on in self._broadcast_gate(qubits, node):
            context.circuit.append(gate, on)
        return context

    def visit_QuantumBarrier(self, node: ast.QuantumBarrier, context: State) -> State:  # noqa: N802
        self._spend(node, len(node.qubits) * self._width(node.qubits, context))
        return super().visit_QuantumBarrier(node, context)

    def visit_QuantumReset(self, node: ast.QuantumReset, context: State) -> State:  # noqa: N802
        self._spend(node, self._width([node.qubits], context))
        return super().visit_QuantumReset(node, context)

    def visit_QuantumMeasurementStatement(  # noqa: N802
        self, node: ast.QuantumMeasurementStatement, context: State
    ) -> State:
        self._spend(node, self._width([node.measure.qubit], context))
        return super().visit_QuantumMeasurementStatement(node, context)

    def visit_ForInLoop(self, node: ast.ForInLoop, context: State) -> State:  # noqa: N802
        loop_set: Any = node.set_declaration
        values, kind = self._resolve_generic(loop_set, context, strict=True)
        if isinstance(kind, types.Range) and isinstance(values, slice):
            if values.start is None or values.stop is None:
                raise_from_node(node, "a range to loop over needs a start and an end")
            values = range(values.start, values.stop, values.step or 1)
        if _jumps(node.block) or not isinstance(values, (range, tuple)):
            return super().visit_ForInLoop(node, context)
        self._spend(node, len(values))
        for value in values:
            with LocalScope(context) as inner:
                loop_type = types.Int(const=True)
                _insert(inner, Symbol(node.identifier.name, value, loop_type, Scope.LOCAL, node))
                for statement in node.block:
                    self.visit(statement, inner)
        return context

    def _resolve_condition(self, node: ast.Expression, context: State) -> Any:
        """The importer's own ``bit == true`` and ``register == number``, else a classical expression."""
        try:
            return super()._resolve_condition(node, context)
        except ConversionError:
            return condition(node, lambda part: ValueResolver(context).resolve(part)[0])

    def _resolve_angle(self, node: ast.Expression, context: State) -> Any:
        value = super()._resolve_angle(node, context)
        if isinstance(value, float) and not math.isfinite(value):
            raise_from_node(node, f"the angle is {value}, which is not a finite number")
        return value

    def _check_size(
        self, node: ast.QASMNode, size: ast.Expression | None, context: State, so_far: int, limit: int
    ) -> None:
        wanted = 1 if size is None else self._resolve_constant_int(size, context)
        if wanted < 1 or so_far + wanted > limit:
            count = f"{wanted:,}" if abs(wanted) < 10**18 else "too many"
            raise_from_node(node, f"a register of {count} bits; between 1 and {limit:,} are possible in all")

    def _check_arguments(self, node: ast.QuantumGate, symbol: Symbol, context: State) -> None:
        kind: Any = symbol.type
        # The built-in U has lists of types there.
        wanted = [n if isinstance(n, int) else len(n) for n in (kind.n_classical, kind.n_quantum)]
        for modifier in node.modifiers:
            if modifier.modifier in (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl):
                wanted[1] += self._controls(modifier, context)
            elif modifier.modifier is ast.GateModifierName.pow and wanted[1] > _WIDEST_POWER:
                raise_from_node(
                    node, f"a power of a gate on more than {_WIDEST_POWER} qubits is not supported"
                )
        given = [len(node.arguments), len(node.qubits)]
        if given != wanted:
            takes = f"takes {wanted[0]} angles and {wanted[1]} qubits, not {given[0]} and {given[1]}"
            raise_from_node(node, f"gate {node.name.name!r} {takes}")

    def _controls(self, modifier: ast.QuantumGateModifier, context: State) -> int:
        count = 1 if modifier.argument is None else self._resolve_constant_int(modifier.argument, context)
        if not 1 <= count <= self._limits.qubits:
            raise_from_node(modifier, f"a gate with {count} more controls is not possible")
        return count

    def _width(self, operands: list[Any], context: State) -> int:
        """How often the longest operand repeats a gate: its length where it is a whole register."""
        widest = 1
        for operand in operands:
            if isinstance(operand, ast.Identifier):
                symbol = context.symbol_table.get(operand.name, operand)
                if symbol is not None and isinstance(symbol.type, types.QubitArray):
                    widest = max(widest, len(symbol.data))
        return widest

    def _spend(self, node: ast.QASMNode, operations: int) -> None:
        self._operations += operations
        if self._operations > self._limits.gates:
            raise_from_node(
                node,
                f"written out, the circuit up to here has {self._operations:,} operations, "
                f"more than {self._limits.gates:,}",
            )


def _insert(context: State, symbol: Symbol) -> None:
    table: Any = context.symbol_table
    table.insert(symbol)


def _jumps(node: object) -> bool:
    """Whether a loop is left or cut short somewhere in ``node``."""
    if isinstance(node, (ast.BreakStatement, ast.ContinueStatement)):
        return True
    if isinstance(node, list):
        return any(_jumps(item) for item in node)
    return isinstance(node, ast.QASMNode) and any(_jumps(item) for item in vars(node).values())
