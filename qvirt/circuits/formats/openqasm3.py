"""OpenQASM 3, by Qiskit's importer. See openqasm3_converter.py for what is added to it."""

from __future__ import annotations

import re

from qiskit import QuantumCircuit, qasm3

from qvirt.circuits.flatten import flatten
from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.text import blank_comments, body, check_broadcasts, check_depth, decode, error_at
from qvirt.errors import CircuitError

_HEADER = re.compile(rb"OPENQASM\s+3\b")
_START = re.compile(rb'(?:qu)?bit\b|include\s*"stdgates\.inc"')
_REGISTER = re.compile(r"\bqubit\s*\[\s*(\d{1,9})\s*\]\s*(\w+)")
_PHYSICAL_QUBIT = re.compile(r"\$(\d+)")


def sniff(data: bytes) -> bool:
    start = body(data)
    return (_HEADER if start.startswith(b"OPENQASM") else _START).match(start) is not None


def load(data: bytes, limits: ParseLimits) -> QuantumCircuit:
    from qvirt.circuits.formats.openqasm3_converter import Converter

    code = blank_comments(decode(data))
    check_depth(code, limits)
    check_broadcasts(code, {name: size for size, name in _REGISTER.findall(code)}, limits)
    for found in _PHYSICAL_QUBIT.finditer(code):
        if len(found[1]) > 9 or int(found[1]) >= limits.qubits:
            message = f"there can be no qubit {found[0][:20]}: {limits.qubits:,} are possible"
            raise error_at(code, found.start(), message)
    return flatten(Converter(code, limits).circuit(), limits)


def dump(circuit: QuantumCircuit) -> bytes:
    try:
        text: str = qasm3.dumps(circuit)
    except qasm3.QASM3ExporterError as error:
        raise CircuitError(f"OpenQASM 3 cannot hold this circuit: {error}", hint="use QPY") from None
    return text.encode()
