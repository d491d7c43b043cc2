"""OpenQASM 2, by Qiskit's parser, with the gates that real files use although no include defines them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import Gate
from qiskit.circuit.library import IGate

from qvirt.circuits.flatten import flatten
from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.standard_gates import did_you_mean, standard_gates
from qvirt.circuits.text import (
    blank_comments,
    body,
    check_broadcasts,
    check_depth,
    decode,
    error_at,
    gate_sizes,
    place,
    shorten,
)
from qvirt.errors import CircuitError

_HEADER = re.compile(rb"OPENQASM\s+2\b")
_REGISTER = re.compile(r"\b(qreg|creg)\s+(\w+)\s*\[\s*(\d+)\s*\]")
_INDEX = re.compile(r"\[\s*\d{10,}")
_INCLUDE = re.compile(r'\binclude\s*"([^"\n]*)"')
_POSITION = re.compile(r"<input>:(\d+),(\d+): (.*)", re.DOTALL)
_UNDEFINED = re.compile(r"'(\w+)' is not defined in this scope")


def sniff(data: bytes) -> bool:
    start = body(data)
    if start.startswith(b"OPENQASM"):
        return _HEADER.match(start) is not None
    return start.startswith((b"qreg", b"creg")) or b"qelib1.inc" in start[:200]


def load(data: bytes, limits: ParseLimits) -> QuantumCircuit:
    code = blank_comments(decode(data))
    check_depth(code, limits)
    _check_includes(code)
    # A gate that the file declares itself is the file's own, whatever its name.
    declared = _check_declarations(code, limits)
    _check_indices(code)
    custom = [gate for gate in _library(_INCLUDE.search(code) is not None) if gate.name not in declared]

    classical = [
        qasm2.CustomClassical(function.__name__, 1, function)
        for function in (math.asin, math.acos, math.atan)
        if function.__name__ not in declared
    ]

    def parse(text: str) -> QuantumCircuit:
        try:
            circuit = qasm2.loads(
                text, include_path=(), custom_instructions=custom, custom_classical=classical
            )
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            raise _explain(error, text, declared) from error
        return flatten(circuit, limits, unique_names=True)

    try:
        return parse(code)
    except CircuitError as error:
        if error.line is None:
            _locate(code, parse, error)
        raise


def dump(circuit: QuantumCircuit) -> bytes:
    try:
        text: str = qasm2.dumps(circuit)
    except qasm2.QASM2ExportError as error:
        raise CircuitError(f"OpenQASM 2 cannot hold this circuit: {error}", hint="use OpenQASM 3") from None
    return text.encode()


def _library(included: bool) -> list[qasm2.CustomInstruction]:
    """All of Qiskit's standard gates, those of qelib1.inc too where a file forgot to include it."""
    known = {
        gate.name: replace(gate, builtin=gate.builtin or not included)
        for gate in qasm2.LEGACY_CUSTOM_INSTRUCTIONS
    }
    # Qiskit's own u0 makes as many identity gates as its parameter says.
    known["u0"] = qasm2.CustomInstruction("u0", 1, 1, _idle, builtin=True)
    known["delay"] = replace(known["delay"], builtin=True)
    for gate in standard_gates().values():
        extra = qasm2.CustomInstruction(gate.name, gate.num_params, gate.num_qubits, gate.make, builtin=True)
        known.setdefault(gate.name, extra)
    return list(known.values())


def _idle(_length: float) -> Gate:
    return IGate()


def _check_indices(code: str) -> None:
    """The parser panics on numbers above 64 bits."""
    if found := _INDEX.search(code):
        raise error_at(code, found.start(), f"the number {shorten(found[0][1:].strip())} is too large")


def _check_includes(code: str) -> None:
    for found in _INCLUDE.finditer(code):
        if found[1] != "qelib1.inc":
            raise error_at(
                code,
                found.start(),
                f"the file includes {found[1]!r}; only qelib1.inc can be included",
                hint="put the gate definitions of that file into this one",
            )


def _check_declarations(code: str, limits: ParseLimits) -> set[str]:
    """The names that the file declares, once its sizes are known to be within the limits."""
    definitions = gate_sizes(code, limits)
    totals = {"qreg": 0, "creg": 0}
    allowed = {"qreg": limits.qubits, "creg": limits.clbits}
    sizes: dict[str, int] = {}
    for found in _REGISTER.finditer(code):
        kind, name, digits = found.groups()
        sizes[name] = int(digits) if len(digits) < 19 else 10**19
        totals[kind] += sizes[name]
        if totals[kind] > allowed[kind]:
            what = "qubits" if kind == "qreg" else "classical bits"
            size = f"{sizes[name]:,}" if len(digits) < 19 else f"a {len(digits)}-digit number of"
            message = f"register {name!r} has {size} {what}; {allowed[kind]:,} in all are possible"
            raise error_at(code, found.start(), message)
    check_broadcasts(code, sizes, limits)
    return {*definitions, *sizes}


def _explain(error: BaseException, code: str, declared: set[str]) -> CircuitError:
    text = getattr(error, "message", str(error))
    found = _POSITION.match(text) if isinstance(error, qasm2.QASM2ParseError) else None
    if found is None:
        if missing := re.search(r"missing (\d+) required positional", text):
            text = f"a gate is given {missing[1]} parameters too few"
        return CircuitError(text or f"the parser failed: {type(error).__name__}")
    line, column = int(found[1]), int(found[2])
    message = found[3]
    hint = None
    if missing := _UNDEFINED.search(message):
        before = code.split("\n", line)[line - 1][:column].rstrip()
        if not before or before.endswith((";", "{", "}", ")")):
            hint = did_you_mean(missing[1], {*standard_gates(), *declared})
        else:
            hint = did_you_mean(missing[1], declared) or "declare it with qreg or creg"
    elif "is already defined" in message:
        hint = "registers and gates share one set of names: choose another"
    elif "identifiers cannot start with capital" in message:
        hint = "OpenQASM 2 names start with a small letter"
    return CircuitError(message, hint=hint, line=line, column=column + 1)


def _locate(code: str, parse: Callable[[str], object], error: CircuitError) -> None:
    """Set line and column, which the parser did not tell, to the end of the shortest beginning that fails.

    Files above a million characters are not searched, so that the search stays within a second or so.
    """

    def fails(end: int) -> bool:
        try:
            parse(code[:end])
        except CircuitError as other:
            return other.line is None and other.message == error.message
        return False

    ends = [found.end() for found in re.finditer(";", code)] if len(code) < 1_000_000 else []
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(ends[middle]) else (middle + 1, high)
    if low < len(ends):
        start = ends[low - 1] if low else 0
        start += len(code[start:]) - len(code[start:].lstrip())
        error.line, error.column = place(code, start)
