"""What every circuit format can do. A format is one module under formats/ and one line in the registry."""

from __future__ import annotations

from typing import Protocol

from qiskit import QuantumCircuit

from qvirt.circuits.limits import ParseLimits


class CircuitFormat(Protocol):
    """A module with these three functions is one."""

    def sniff(self, data: bytes, /) -> bool:
        """Whether the content (never the file's name) is of this format; quick on any input."""

    def load(self, data: bytes, limits: ParseLimits, /) -> QuantumCircuit:
        """The circuit, flattened (see flatten.py).

        Raises CircuitError with line and column where they are known.
        """

    def dump(self, circuit: QuantumCircuit, /) -> bytes:
        """Raises CircuitError where the format cannot hold the circuit."""
