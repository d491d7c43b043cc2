"""Gates, measurements and means on a decision diagram, over MQT Core's package.

A state given to a method here is used up: its reference is taken, that of the answer is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mqt.core.dd import DDPackage, VectorDD
from mqt.core.ir.operations import Control, OpType, StandardOperation
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import SparsePauliOp

_ONE_TARGET = {
    "i": "id",
    "x": "x cx ccx mcx",
    "y": "y cy",
    "z": "z cz ccz",
    "h": "h ch",
    "s": "s cs",
    "sdg": "sdg csdg",
    "t": "t",
    "tdg": "tdg",
    "sx": "sx csx c3sx",
    "sxdg": "sxdg",
    "p": "p cp u1 cu1 mcphase",
    "r": "r",
    "rx": "rx crx",
    "ry": "ry cry",
    "rz": "rz crz",
    "u2": "u2",
    "u": "u u3 cu3",
}
_TWO_TARGETS = {"swap": "swap cswap"} | {
    name: name for name in ("iswap", "dcx", "ecr", "rxx", "ryy", "rzz", "rzx", "xx_minus_yy", "xx_plus_yy")
}
_KINDS = {
    gate: (getattr(OpType, kind), targets)
    for targets, table in ((1, _ONE_TARGET), (2, _TWO_TARGETS))
    for kind, gates in table.items()
    for gate in gates.split()
}
"""Qiskit's name -> MQT's operation and its number of targets; the qubits before them are controls."""

BASIS = frozenset(_KINDS) | {"unitary"}
LARGEST_UNITARY = 2

_PAULIS = {"X": OpType.x, "Y": OpType.y, "Z": OpType.z}


class Diagrams:
    """The decision diagrams of one run, on ``num_qubits`` wires."""

    def __init__(self, num_qubits: int) -> None:
        self.num_qubits = num_qubits
        self._package = DDPackage(num_qubits)

    def zero(self) -> VectorDD:
        return self._package.zero_state(self.num_qubits)

    def load(self, data: bytes) -> VectorDD:
        """What ``VectorDD.to_bytes`` wrote."""
        state = VectorDD.from_bytes(self._package, data)
        self._package.inc_ref_vec(state)
        return state

    def shared(self, state: VectorDD) -> VectorDD:
        """The same state once more, for a second user."""
        self._package.inc_ref_vec(state)
        return state

    def drop(self, state: VectorDD) -> None:
        self._package.dec_ref_vec(state)

    def apply(self, state: VectorDD, step: CircuitInstruction, wires: Sequence[int]) -> VectorDD:
        """A gate of BASIS on ``wires``."""
        if step.name == "unitary":
            return self._apply_matrix(state, step.matrix, wires)
        kind, count = _KINDS[step.name]
        parameters = [float(parameter) for parameter in step.params] if kind is not OpType.x else []
        controls = {Control(wire) for wire in wires[:-count]}
        return self._package.apply_unitary_operation(
            state, StandardOperation(controls, wires[-count:], kind, parameters)
        )

    def flip(self, state: VectorDD, wire: int) -> VectorDD:
        return self._package.apply_unitary_operation(state, StandardOperation(wire, OpType.x))

    def chance_of_one(self, state: VectorDD, wire: int) -> float:
        """The probability of reading 1; ``state`` stays the caller's."""
        projected = self._package.matrix_vector_multiply(
            self._package.single_qubit_gate(np.diag([0.0, 1.0]).astype(complex), wire), state
        )
        return min(1.0, max(0.0, self._package.inner_product(state, projected).real))

    def collapse(self, state: VectorDD, wire: int, outcome: int, chance: float) -> VectorDD:
        """The state after ``outcome``, which had ``chance``, was read."""
        kept = np.zeros((2, 2), complex)
        kept[outcome, outcome] = chance**-0.5
        return self._apply_matrix(state, kept, [wire])

    def mean(self, state: VectorDD, observable: SparsePauliOp, wire_of: Sequence[int]) -> float:
        """The expectation value; ``state`` stays the caller's."""
        total = 0.0
        for letters, qubits, factor in observable.to_sparse_list():
            moved = self.shared(state)
            for letter, qubit in zip(letters, qubits, strict=True):
                operation = StandardOperation(wire_of[qubit], _PAULIS[letter])
                moved = self._package.apply_unitary_operation(moved, operation)
            total += (factor * self._package.inner_product(state, moved)).real
            self.drop(moved)
        return total

    def _apply_matrix(
        self, state: VectorDD, matrix: NDArray[np.complex128], wires: Sequence[int]
    ) -> VectorDD:
        if len(wires) == 1:
            gate: Any = self._package.single_qubit_gate(matrix, wires[0])
        else:
            # MQT has the first target as the higher bit of the matrix.
            gate = self._package.two_qubit_gate(matrix, wires[1], wires[0])
        moved = self._package.matrix_vector_multiply(gate, state)
        self._package.inc_ref_vec(moved)
        self.drop(state)
        self._package.garbage_collect()
        return moved
