"""A JSON gate list; docs/circuits.md documents it and ``SCHEMA`` is its JSON schema."""

from __future__ import annotations

import re

import msgspec
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Instruction, Parameter, ParameterExpression, Reset
from qiskit.circuit.library import Barrier

from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.standard_gates import did_you_mean, standard_gates
from qvirt.circuits.text import decode, error_at
from qvirt.errors import CircuitError

ALIASES = {
    "cnot": "cx",
    "toffoli": "ccx",
    "fredkin": "cswap",
    "i": "id",
    "not": "x",
    "phase": "p",
    "cphase": "cp",
    "sqrtx": "sx",
    "m": "measure",
}
_NAME = re.compile(r"[^\W\d]\w*(\[\d+\])?")
_BYTE = re.compile(r" \(byte (\d+)\)")


class GateEntry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One gate, measurement, reset or barrier; ``clbits`` only where it measures.

    A string in ``params`` is the name of a free parameter.
    """

    type: str
    qubits: list[int]
    params: list[float | str] = []
    clbits: list[int] = []


class GateList(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    num_qubits: int
    gates: list[GateEntry]
    num_clbits: int | None = None
    name: str | None = None


SCHEMA = msgspec.json.schema(GateList)


def sniff(data: bytes) -> bool:
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def load(data: bytes, limits: ParseLimits) -> QuantumCircuit:
    text = decode(data)
    try:
        listed = msgspec.json.decode(text, type=GateList)
    except msgspec.ValidationError as error:
        raise CircuitError(_readable(str(error)), hint="docs/circuits.md describes the gate list") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(text, error) from None
    circuit = _empty(listed, limits)
    free: dict[str, Parameter] = {}
    for number, entry in enumerate(listed.gates):
        try:
            _add(circuit, entry, free)
        except CircuitError as error:
            error.message = f"gate {number} ({entry.type}): {error.message}"
            raise
    return circuit


def dump(circuit: QuantumCircuit) -> bytes:
    number = {bit: i for bits in (circuit.qubits, circuit.clbits) for i, bit in enumerate(bits)}
    entries = []
    for step in circuit.data:
        standard = step.is_standard_gate() and step.name in standard_gates()
        if not standard and step.name not in ("measure", "reset", "barrier"):
            raise CircuitError(
                f"a JSON gate list cannot hold the operation {step.name!r}", hint="use OpenQASM 3 or QPY"
            )
        params = [] if step.name == "barrier" else [_dumped(value) for value in step.params]
        qubits, clbits = ([number[bit] for bit in bits] for bits in (step.qubits, step.clbits))
        entries.append(GateEntry(step.name, qubits, params, clbits))
    listed = GateList(circuit.num_qubits, entries, circuit.num_clbits or None)
    return msgspec.json.format(msgspec.json.encode(listed), indent=1)


def _dumped(value: float | ParameterExpression) -> float | str:
    if isinstance(value, Parameter):
        return str(value.name)
    if isinstance(value, ParameterExpression) and value.parameters:
        raise CircuitError(f"a JSON gate list cannot hold the angle {value}", hint="use OpenQASM 3 or QPY")
    return float(value)


def _empty(listed: GateList, limits: ParseLimits) -> QuantumCircuit:
    largest = max((bit for entry in listed.gates for bit in entry.clbits), default=-1)
    clbits = largest + 1 if listed.num_clbits is None else listed.num_clbits
    for size, limit, what in (
        (listed.num_qubits, limits.qubits, "qubits"),
        (clbits, limits.clbits, "classical bits"),
    ):
        if not 0 <= size <= limit:
            raise CircuitError(f"{size:,} {what} are asked for; between 0 and {limit:,} are possible")
    return QuantumCircuit(listed.num_qubits, clbits, name=listed.name)


def _add(circuit: QuantumCircuit, entry: GateEntry, free: dict[str, Parameter]) -> None:
    name = entry.type.lower()
    name = ALIASES.get(name, name)
    operation = _operation(name, entry, free)
    for bits, size, what in (
        (entry.qubits, circuit.num_qubits, "qubit"),
        (entry.clbits, circuit.num_clbits, "classical bit"),
    ):
        for bit in bits:
            if not 0 <= bit < size:
                raise CircuitError(f"there is no {what} {bit}: they are 0 to {size - 1}")
        if len(set(bits)) < len(bits):
            raise CircuitError(f"the same {what} is named twice in {bits}")
    qubits = [circuit.qubits[q] for q in entry.qubits]
    if operation is None:
        circuit.measure(qubits, entry.clbits)
    else:
        circuit._append(CircuitInstruction(operation, qubits))


def _operation(name: str, entry: GateEntry, free: dict[str, Parameter]) -> Instruction | None:
    """None for a measurement, which may be of several qubits."""
    if name == "measure":
        _expect(len(entry.clbits) == len(entry.qubits), "needs as many clbits as qubits")
        _expect(not entry.params, "takes no params")
        return None
    _expect(not entry.clbits, "takes no clbits: only a measurement does")
    if name in ("reset", "barrier"):
        _expect(not entry.params, "takes no params")
        _expect(name == "barrier" or len(entry.qubits) == 1, "takes 1 qubit")
        return Barrier(len(entry.qubits)) if name == "barrier" else Reset()
    gate = standard_gates().get(name)
    if gate is None:
        known = {*standard_gates(), *ALIASES, "measure", "reset", "barrier"}
        raise CircuitError(f"there is no gate {entry.type!r}", hint=did_you_mean(name, known))
    given = (len(entry.params), len(entry.qubits))
    wanted = (gate.num_params, gate.num_qubits)
    _expect(
        given == wanted,
        f"takes {wanted[0]} params and {wanted[1]} qubits, not {given[0]} and {given[1]}",
    )
    return gate.make(*(_param(each, free) for each in entry.params))


def _param(value: float | str, free: dict[str, Parameter]) -> float | Parameter:
    if not isinstance(value, str):
        return value
    named = _NAME.fullmatch(value) is not None and value != "pi"
    _expect(named, f"{value!r} is neither a number nor the name of a parameter")
    return free.setdefault(value, Parameter(value))


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise CircuitError(message)


def _readable(message: str) -> str:
    """``$.gates[3].qubits`` is what the file calls it, less the ``$.``."""
    return "not a gate list: " + message.replace("$.", "").replace("`$`", "the top")


def _malformed(text: str, error: Exception) -> CircuitError:
    if isinstance(error, RecursionError):
        return CircuitError("the JSON is nested too deeply")
    message = str(error)
    found = _BYTE.search(message)
    offset = len(text.encode()[: int(found[1])].decode("utf-8", "ignore")) if found else len(text)
    return error_at(text, offset, _BYTE.sub("", message))
