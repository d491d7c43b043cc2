"""A circuit as text or bytes, and what can be said of it without running it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum


class Format(str, Enum):
    OPENQASM2 = "openqasm2"
    OPENQASM3 = "openqasm3"
    JSON = "json"
    QPY = "qpy"


@dataclass(frozen=True, slots=True)
class CircuitSource:
    """The circuit as the user gave it; ``name`` is what messages call it (a file name, or ``<stdin>``)."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class CircuitFacts:
    """Facts found in time linear in the circuit's size. Qubit numbers are Qiskit's (little-endian).

    ``depth`` counts gates, measurements and resets, not barriers. Control-flow bodies are counted
    once. ``passes`` is the number of sweeps over a state vector after greedy fusion into blocks of up
    to four qubits; ``windows`` is how often the qubits of its gates on two and more that are not
    diagonal outgrow what a cache holds. ``bond_bits`` bounds from above log2 of the bond dimension
    that a matrix product state in qubit order needs at its worst cut; ``bond_cost`` is the sum over
    the gates on two and more qubits of 8 to the power of the bound at each cut they cross (the work
    of one contraction and SVD). ``support_bits`` bounds from above log2 of how many basis states have
    an amplitude at any time.
    """

    format: Format
    num_qubits: int
    num_clbits: int
    depth: int
    operations: dict[str, int]
    size: int
    one_qubit_gates: int
    two_qubit_gates: int
    larger_gates: int
    diagonal_gates: int
    measurements: int
    resets: int
    conditionals: int
    control_flow: bool
    clifford_gates: int
    components: tuple[tuple[int, ...], ...]
    passes: int
    windows: int
    bond_bits: float
    bond_cost: float
    support_bits: int
    terminal_measurements: bool
    measured_all_added: bool
    collapses: int = 0

    @property
    def gates(self) -> int:
        return self.one_qubit_gates + self.two_qubit_gates + self.larger_gates

    @property
    def clifford_share(self) -> float:
        return self.clifford_gates / self.gates if self.gates else 1.0

    @property
    def is_clifford(self) -> bool:
        return self.clifford_gates == self.gates

    @property
    def largest_component(self) -> int:
        return max((len(part) for part in self.components), default=0)

    @property
    def active_qubits(self) -> int:
        """Qubits that some gate, measurement or reset acts on, at least one."""
        return max(1, sum(len(part) for part in self.components))
