"""Custom gates of any nesting, opened until only Qiskit's standard gates are left.

Gates are told by their type, never by their name: a file may define a ``swap`` of its own. Loops over
fixed values are written out and boxes opened. How much comes out is computed first, from the sizes of
the definitions; after that time and memory are linear in what comes out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    Bit,
    BoxOp,
    BreakLoopOp,
    CircuitInstruction,
    ContinueLoopOp,
    ControlFlowOp,
    Delay,
    ForLoopOp,
    Measure,
    Parameter,
    ParameterExpression,
    Reset,
    Store,
)
from qiskit.circuit.library import C4XGate, GlobalPhaseGate, MCPhaseGate, MCXGate, UnitaryGate

from qvirt.circuits.angles import is_free, number, numeric
from qvirt.circuits.limits import ParseLimits
from qvirt.errors import CircuitError

_KEPT = (Measure, Reset, Barrier, Delay, UnitaryGate, Store, BreakLoopOp, ContinueLoopOp)
_MANY_CONTROLS = (MCXGate, C4XGate, MCPhaseGate)
"""Engines know these with every control on 1; some of their subclasses have ancillas besides."""

_MOST_BODIES = 10_000

_Steps = Iterable[tuple[CircuitInstruction, tuple[Bit, ...], tuple[Bit, ...]]]


def flatten(circuit: QuantumCircuit, limits: ParseLimits, *, unique_names: bool = False) -> QuantumCircuit:
    """``circuit`` in standard gates, ``mcx``, ``mcphase``, ``unitary``, control flow and what is no gate.

    ``unique_names`` says that gates of one name and equal parameters are the same (in OpenQASM they are),
    so that each is opened once. Free parameters stay. Raises CircuitError naming a gate without a
    definition or with a parameter that is not finite, and where more than ``limits.gates`` operations would
    come out.
    """
    number(circuit.global_phase, "the circuit's global phase")
    size = _Counting(limits, unique_names).size(circuit)
    if size > limits.gates:
        raise CircuitError(
            f"the circuit has {_show(size)} operations when its gate definitions and loops are written "
            f"out, more than {limits.gates:,}"
        )
    return _Opening(unique_names).circuit(circuit)


@dataclass(slots=True)
class _Frame:
    """An operation that is being counted: ``total`` of what it is made of, so far."""

    steps: Iterator[CircuitInstruction]
    name: str | None = None
    times: int = 1
    total: int = 0


@dataclass(slots=True)
class _Counting:
    limits: ParseLimits
    unique_names: bool
    sizes: dict[str, int] = field(default_factory=dict)

    def size(self, circuit: QuantumCircuit) -> int:
        """Operations once all is written out, those opened on the way counted too."""
        stack = [_Frame(iter(circuit.data))]
        opened = 0
        while True:
            frame = stack[-1]
            inner = self._count_to_next(frame)
            if inner is not None:
                opened += 1
                if opened > self.limits.gates:
                    return opened
                stack.append(inner)
                continue
            stack.pop()
            size = 1 + frame.times * frame.total
            if frame.name is not None:
                self.sizes[frame.name] = size
            if not stack:
                return frame.total
            stack[-1].total += size

    def _count_to_next(self, frame: _Frame) -> _Frame | None:
        """Count on up to the next operation whose size is not known; None at the end."""
        for step in frame.steps:
            name = step.name if self.unique_names and not step.is_control_flow() else None
            if _stays(step):
                frame.total += 1
            elif name in self.sizes:
                frame.total += self.sizes[name]
            elif _opens(step) and isinstance(step.operation, ForLoopOp):
                return _Frame(iter(step.operation.blocks[0].data), times=len(step.operation.params[0]))
            elif step.is_control_flow():
                return _Frame(chain.from_iterable(block.data for block in step.operation.blocks))
            else:
                return _Frame(iter(_definition(step.operation).data), name)
        return None


@dataclass(frozen=True, slots=True)
class _Body:
    """One level of a definition: operations on its own qubits and clbits, by number."""

    steps: list[tuple[CircuitInstruction, list[int], list[int]]]
    global_phase: ParameterExpression | float


@dataclass(slots=True)
class _Opening:
    unique_names: bool
    bodies: dict[Hashable, _Body] = field(default_factory=dict)

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        flat = True
        steps = []
        for old in circuit.data:
            step = numeric(old)
            flat = flat and step is old and _stays(step)
            steps.append(step)
        if flat:
            return circuit
        out = circuit.copy_empty_like()
        self._write(((step, step.qubits, step.clbits) for step in steps), out)
        return out

    def _write(self, steps: _Steps, out: QuantumCircuit) -> None:
        stack = [iter(steps)]
        while stack:
            for step, qubits, clbits in stack[-1]:
                if _stays(step):
                    out._append(step.replace(qubits=qubits, clbits=clbits))
                elif step.is_control_flow() and not _opens(step):
                    out._append(self._blocks_flat(step, qubits, clbits))
                else:
                    stack.append(self._inside(step, qubits, clbits, out))
                    break
            else:
                stack.pop()

    def _inside(
        self, step: CircuitInstruction, qubits: tuple[Bit, ...], clbits: tuple[Bit, ...], out: QuantumCircuit
    ) -> Iterator[tuple[CircuitInstruction, tuple[Bit, ...], tuple[Bit, ...]]]:
        for body in self._bodies(step):
            if body.global_phase:
                out.global_phase += body.global_phase
            for inner, inner_qubits, inner_clbits in body.steps:
                yield inner, tuple(qubits[q] for q in inner_qubits), tuple(clbits[c] for c in inner_clbits)

    def _bodies(self, step: CircuitInstruction) -> Iterator[_Body]:
        operation = step.operation
        if isinstance(operation, ForLoopOp):
            values, parameter, block = operation.params
            for value in values:
                bound = block if parameter is None else block.assign_parameters({parameter: value})
                yield _body(bound)
        elif isinstance(operation, BoxOp):
            yield _body(operation.blocks[0])
        elif isinstance(operation, GlobalPhaseGate):
            yield _Body([], step.params[0])
        elif not self.unique_names:
            yield _body(_definition(operation))
        else:
            key = (step.name, *step.params)
            if key not in self.bodies:
                if len(self.bodies) >= _MOST_BODIES:
                    self.bodies.clear()
                self.bodies[key] = _body(_definition(operation))
            yield self.bodies[key]

    def _blocks_flat(
        self, step: CircuitInstruction, qubits: tuple[Bit, ...], clbits: tuple[Bit, ...]
    ) -> CircuitInstruction:
        if tuple(clbits) != tuple(step.clbits):
            raise CircuitError(
                f"a gate definition with the control flow {step.name!r} in it is not supported"
            )
        operation = step.operation
        if isinstance(operation, ForLoopOp) and _uses(operation.blocks[0], operation.params[1]):
            raise CircuitError(
                f"the loop over {operation.params[1].name} has no value for it: it may be left early",
                hint="leave out break and continue, or write the loop out",
            )
        return step.replace(
            operation=operation.replace_blocks([self.circuit(block) for block in operation.blocks]),
            qubits=qubits,
        )


def _stays(step: CircuitInstruction) -> bool:
    if step.is_standard_gate():
        return bool(step.name != "global_phase")
    operation = step.operation
    if getattr(operation, "base_class", None) in _MANY_CONTROLS:
        controls = operation.num_ctrl_qubits
        return bool(controls > 1 and operation.ctrl_state == (1 << controls) - 1)
    return isinstance(operation, _KEPT)


def _opens(step: CircuitInstruction) -> bool:
    """A box, or a loop over fixed values that is never left early, and no condition's bits change names."""
    operation = step.operation
    if isinstance(operation, ForLoopOp):
        if _jumps(operation.blocks[0]):
            return False
    elif not isinstance(operation, BoxOp):
        return False
    block = operation.blocks[0]
    return list(block.clbits) == list(step.clbits) or not any(s.is_control_flow() for s in block.data)


def _jumps(block: QuantumCircuit) -> bool:
    return any(
        step.name in ("break_loop", "continue_loop")
        or (step.is_control_flow() and any(_jumps(inner) for inner in step.operation.blocks))
        for step in block.data
    )


def _uses(block: QuantumCircuit, parameter: Parameter | None) -> bool:
    """In an angle: the importer of OpenQASM 3 has every loop's variable in its global phase, times 0."""
    return any(
        any(is_free(value) and parameter in value.parameters for value in step.params)
        or (step.is_control_flow() and any(_uses(inner, parameter) for inner in step.operation.blocks))
        for step in block.data
    )


def _body(circuit: QuantumCircuit) -> _Body:
    place = {bit: i for bits in (circuit.qubits, circuit.clbits) for i, bit in enumerate(bits)}
    steps = []
    for inner in circuit.data:
        step = numeric(inner)
        steps.append((step, [place[q] for q in step.qubits], [place[c] for c in step.clbits]))
    return _Body(steps, number(circuit.global_phase, "the phase of a gate definition"))


def _definition(operation: Any) -> QuantumCircuit:
    try:
        definition: QuantumCircuit | None = getattr(operation, "definition", None)
    except Exception as error:
        message = getattr(error, "message", str(error))
        raise CircuitError(f"gate {operation.name!r} with {operation.params}: {message}") from error
    if definition is not None:
        return definition
    if isinstance(operation, ControlFlowOp):
        raise CircuitError(f"the control flow {operation.name!r} is not supported")
    return _synthesized(operation)


def _synthesized(operation: Any) -> QuantumCircuit:
    """Of what is no gate but can be made into some: an annotated operation, a Clifford, a permutation."""
    from qiskit.exceptions import QiskitError
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import HighLevelSynthesis

    from qvirt.circuits.standard_gates import standard_gates

    circuit = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    circuit.append(operation, circuit.qubits, circuit.clbits)
    try:
        opened: QuantumCircuit = PassManager([HighLevelSynthesis(basis_gates=list(standard_gates()))]).run(
            circuit
        )
    except QiskitError:
        opened = circuit
    if any(step.name == operation.name for step in opened.data):
        raise CircuitError(
            f"gate {operation.name!r} has no definition", hint="define it with 'gate' instead of 'opaque'"
        )
    return opened


def _show(number: int) -> str:
    return f"{number:,}" if number < 10**18 else f"about 10^{number.bit_length() * 3 // 10}"
