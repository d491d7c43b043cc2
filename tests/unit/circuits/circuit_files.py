"""Circuits from text, as a user's file would come."""

from __future__ import annotations

from qvirt.circuits import Loaded, load
from qvirt.model.circuit import CircuitSource

QASM2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
QASM3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def read(data: str | bytes) -> Loaded:
    return load(CircuitSource("file", data.encode() if isinstance(data, str) else data))


def read2(text: str) -> Loaded:
    """``text`` is what follows the header of an OpenQASM 2 file."""
    return read(QASM2 + text)


def read3(text: str) -> Loaded:
    return read(QASM3 + text)
