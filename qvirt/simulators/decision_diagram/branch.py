"""Where a run stands: one branch for each history of measurements in the middle of the circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mqt.core.dd import VectorDD
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Qubit


@dataclass(slots=True)
class Block:
    """A circuit, or the body of an if, on numbered qubits and clbits; ``position`` is the next step's."""

    steps: Sequence[CircuitInstruction]
    qubit: Mapping[Qubit, int]
    clbit: Mapping[Clbit, int]
    position: int = 0

    @classmethod
    def of(cls, circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> Block:
        return cls(
            circuit.data,
            dict(zip(circuit.qubits, qubits, strict=True)),
            dict(zip(circuit.clbits, clbits, strict=True)),
        )

    def next(self) -> CircuitInstruction | None:
        if self.position == len(self.steps):
            return None
        self.position += 1
        return self.steps[self.position - 1]


@dataclass(slots=True)
class Branch:
    """``bits`` was read so far in ``shots`` of the shots; ``rest`` is the stack of blocks still to run.

    ``wire_of`` says where each qubit is after the swaps, which are not carried out: a swap of distant
    qubits costs a diagram much, and renaming them nothing.
    """

    state: VectorDD
    wire_of: list[int]
    bits: int
    shots: int
    rest: list[Block]

    def split(self, state: VectorDD, bits: int, shots: int) -> Branch:
        return Branch(state, list(self.wire_of), bits, shots, [replace(block) for block in self.rest])
