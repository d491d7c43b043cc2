"""Gates that an engine does not know are replaced by what they are made of.

Nothing but gates is ever replaced: measurements, resets, barriers, delays and control flow (its bodies
are lowered too) stay as they are. Custom gates are opened whatever their name is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.controlledgate import ControlledGate

from qvirt.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

NOT_GATES = frozenset({"measure", "reset", "barrier", "delay", "store", "break_loop", "continue_loop"})

Keep = Callable[[CircuitInstruction], bool]


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation of a fragment, on the fragment's own qubits and clbits."""

    operation: Any
    qubits: tuple[int, ...]
    clbits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Fragment:
    steps: Sequence[_Step]
    global_phase: float


def lower(circuit: QuantumCircuit, basis: frozenset[str], largest_unitary: int = 30) -> QuantumCircuit:
    """``circuit`` in the gates named in ``basis``; the circuit itself where it needs no change.

    Of the gates named ``unitary`` only those on up to ``largest_unitary`` qubits are in the basis. Time
    is linear in the length of what comes out. Without ``u`` and ``unitary`` in the basis, gates
    become Clifford gates where they are (up to a global phase), else rotations about Z. Raises Unsupported
    naming a gate that cannot be taken apart.
    """

    def keep(step: CircuitInstruction) -> bool:
        return step.name in basis and (step.name != "unitary" or len(step.qubits) <= largest_unitary)

    return _Lowering(keep, basis).circuit(circuit)


def lower_to_two_qubit(circuit: QuantumCircuit) -> QuantumCircuit:
    """``circuit`` with every gate on three and more qubits replaced by gates on one and two.

    Noise follows the gates of this form, before an engine lowers it further, so that what a noisy
    circuit does is the same on every engine.
    """
    return _Lowering(lambda step: len(step.qubits) <= 2, frozenset({"u", "unitary"})).circuit(circuit)


class _Lowering:
    """Fragments are kept by gate, so that a gate met again costs only its copy."""

    def __init__(self, keep: Keep, basis: frozenset[str]) -> None:
        self._keep = keep
        self._basis = basis
        self._fragments: dict[Hashable, _Fragment] = {}
        self._alive: list[object] = []

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if all(self._stays(step) for step in circuit.data):
            return circuit
        lowered = circuit.copy_empty_like()
        for step in circuit.data:
            if self._stays(step):
                lowered._append(step)
            elif step.is_control_flow():
                blocks = [self.circuit(block) for block in step.operation.blocks]
                lowered._append(step.replace(operation=step.operation.replace_blocks(blocks)))
            else:
                fragment = self._fragment(step)
                lowered.global_phase += fragment.global_phase
                for inner in fragment.steps:
                    qubits = [step.qubits[qubit] for qubit in inner.qubits]
                    clbits = [step.clbits[clbit] for clbit in inner.clbits]
                    lowered._append(CircuitInstruction(inner.operation, qubits, clbits))
        return lowered

    def _stays(self, step: CircuitInstruction) -> bool:
        if step.name in NOT_GATES:
            return True
        if step.is_control_flow():
            return False
        return self._keep(step) and (step.is_standard_gate() or not _is_custom(step.operation))

    def _fragment(self, step: CircuitInstruction) -> _Fragment:
        key = _key(step)
        if key not in self._fragments:
            operation = step.operation
            # The key may be its id, which must not be given to another one.
            self._alive.append(operation)
            self._fragments[key] = self._expand(self._definition(operation))
        return self._fragments[key]

    def _expand(self, body: QuantumCircuit) -> _Fragment:
        place = {bit: number for bits in (body.qubits, body.clbits) for number, bit in enumerate(bits)}
        steps: list[_Step] = []
        phase = body.global_phase
        for inner in body.data:
            qubits = tuple(place[bit] for bit in inner.qubits)
            clbits = tuple(place[bit] for bit in inner.clbits)
            if self._stays(inner):
                steps.append(_Step(inner.operation, qubits, clbits))
                continue
            fragment = self._fragment(inner)
            phase += fragment.global_phase
            steps += [
                _Step(s.operation, tuple(qubits[q] for q in s.qubits), tuple(clbits[c] for c in s.clbits))
                for s in fragment.steps
            ]
        return _Fragment(steps, phase)

    def _definition(self, operation: Any) -> QuantumCircuit:
        if not {"u", "unitary"} & self._basis and operation.num_qubits <= 2:
            body = _clifford(operation)
            if body is not None:
                return body
        definition: QuantumCircuit | None = getattr(operation, "definition", None)
        if definition is None and hasattr(operation, "__array__"):
            definition = self._from_matrix(operation)
        if definition is None:
            raise Unsupported(f"the gate {operation.name!r} cannot be taken apart for this engine")
        return definition

    def _from_matrix(self, operation: Any) -> QuantumCircuit | None:
        from qiskit.circuit.library import UnitaryGate
        from qiskit.synthesis import OneQubitEulerDecomposer

        gate = UnitaryGate(operation.to_matrix())
        if "unitary" in self._basis:
            body = QuantumCircuit(operation.num_qubits)
            body.append(gate, body.qubits)
            return body
        if operation.name not in ("u", "cx"):
            definition: QuantumCircuit = gate.definition
            return definition
        if operation.name == "u" and "rz" in self._basis:
            return cast(QuantumCircuit, OneQubitEulerDecomposer("ZSX")(gate.to_matrix()))
        return None


def _clifford(operation: Any) -> QuantumCircuit | None:
    """In Clifford gates, up to a global phase; None where it is no Clifford gate."""
    from qiskit.exceptions import QiskitError
    from qiskit.quantum_info import Clifford

    try:
        return cast(QuantumCircuit, Clifford.from_matrix(operation.to_matrix()).to_circuit())
    except (QiskitError, AttributeError):
        return None


def _is_custom(operation: Any) -> bool:
    """Made by a user: its name says nothing of what it does."""
    return not type(operation).__module__.startswith(("qiskit.circuit.library.", "qiskit_aer."))


def _key(step: CircuitInstruction) -> Hashable:
    """Equal for equal gates; the parameters of gates beyond these do not say all of what they do."""
    if step.is_standard_gate():
        return step.name, tuple(step.params)
    operation = step.operation
    if isinstance(operation, ControlledGate) and not _is_custom(operation):
        return type(operation), operation.num_qubits, tuple(operation.params), operation.ctrl_state
    return id(operation)
