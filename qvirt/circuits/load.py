"""From the bytes of a file to a circuit that can be run, with the facts about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qiskit import ClassicalRegister, QuantumCircuit

from qvirt.circuits import text
from qvirt.circuits.facts import analyse
from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.parts import split
from qvirt.circuits.registry import FORMATS
from qvirt.circuits.text import shorten
from qvirt.errors import CircuitError
from qvirt.model.circuit import CircuitFacts, CircuitSource, Format


@dataclass(frozen=True, slots=True)
class Loaded:
    """``parts`` are the circuit's independent parts, where it is worth running them apart.

    A circuit with free parameters has none.
    """

    circuit: QuantumCircuit
    facts: CircuitFacts
    parts: tuple[Loaded, ...] = ()


def load(
    source: CircuitSource, limits: ParseLimits = ParseLimits(), parameters: Collection[str] | None = ()
) -> Loaded:
    """Read a circuit, open its custom gates and measure all qubits if it measures none.

    ``parameters`` names those that are given values later: all that are free in it, and no others;
    None asks for no names.

    Raises CircuitError with the file's name and, where they are known, line and column. Run it only
    where it may die: a hostile file can still cost memory and time within the limits.
    """
    try:
        file_format, circuit = _parse(source.data, limits)
        _check_sizes(circuit, limits)
        _check_parameters(circuit, parameters)
    except CircuitError as error:
        error.file = error.file or source.name
        error.message = shorten(error.message)
        raise
    except MemoryError:
        raise
    except RecursionError:
        raise CircuitError("the circuit is nested too deeply", file=source.name) from None
    except Exception as error:
        message = f"the circuit cannot be read: {type(error).__name__}: {error}"
        raise CircuitError(message, file=source.name) from error
    added = not _measures(circuit)
    if added:
        circuit = _measure_all(circuit)
    facts = analyse(circuit, file_format, measured_all_added=added)
    parts = [] if circuit.parameters else split(circuit, facts.components)
    return Loaded(
        circuit, facts, tuple(Loaded(p, analyse(p, file_format, measured_all_added=added)) for p in parts)
    )


def dump(circuit: QuantumCircuit, file_format: Format) -> bytes:
    """``circuit`` as a file. Raises CircuitError where the format cannot hold it."""
    return FORMATS[file_format].dump(circuit)


def _parse(data: bytes, limits: ParseLimits) -> tuple[Format, QuantumCircuit]:
    if len(data) > limits.bytes:
        raise CircuitError(
            f"the file has {len(data):,} bytes, more than {limits.bytes:,}",
            hint="write repeated parts as gate definitions or loops",
        )
    for file_format, reader in FORMATS.items():
        if reader.sniff(data):
            return file_format, reader.load(data, limits)
    raise _unknown(data)


def _unknown(data: bytes) -> CircuitError:
    content = text.body(text.decode(data).encode())
    if not content:
        what = "nothing but comments" if data.strip() else "nothing"
        return CircuitError(f"there is {what} in the file", hint="a circuit is expected")
    start = content[:40].decode("utf-8", "ignore").splitlines()[0]
    return text.error_at(
        text.decode(data),
        len(text.decode(data)) - len(content.decode()),
        f"this is no circuit format that is known here: it starts with {start!r}",
        "OpenQASM starts with OPENQASM 2.0; or OPENQASM 3.0; - a JSON gate list and QPY can be read too",
    )


def _check_sizes(circuit: QuantumCircuit, limits: ParseLimits) -> None:
    if circuit.num_qubits == 0:
        raise CircuitError("the circuit has no qubits")
    for count, limit, what in (
        (circuit.num_qubits, limits.qubits, "qubits"),
        (circuit.num_clbits, limits.clbits, "classical bits"),
    ):
        if count > limit:
            raise CircuitError(f"the circuit has {count:,} {what}, more than {limit:,}")


def _check_parameters(circuit: QuantumCircuit, named: Collection[str] | None) -> None:
    if named is None:
        return
    free = {parameter.name for parameter in circuit.parameters}
    if named and not free:
        raise CircuitError(
            "the circuit has no free parameters to give values to",
            hint="run it without --params, or declare some: `input float theta;` in OpenQASM 3",
        )
    if missing := sorted(free.difference(named)):
        raise CircuitError(
            f"the circuit has parameters with no value: {', '.join(missing)}",
            hint="--params FILE.csv gives values to all: their names in its first line, then one row a set",
        )
    if unknown := sorted(set(named) - free):
        raise CircuitError(
            f"the circuit has no parameter {', '.join(unknown)}: it has {', '.join(sorted(free))}",
            hint="the first line of the --params file names the circuit's parameters and no others",
        )


def _measures(circuit: QuantumCircuit) -> bool:
    return any(
        step.name == "measure"
        or (step.is_control_flow() and any(_measures(block) for block in step.operation.blocks))
        for step in circuit.data
    )


def _measure_all(circuit: QuantumCircuit) -> QuantumCircuit:
    taken = {register.name for register in circuit.cregs}
    name = next(n for n in ("meas", *(f"meas{i}" for i in range(len(taken) + 1))) if n not in taken)
    measured = circuit.copy()
    register = ClassicalRegister(circuit.num_qubits, name)
    measured.add_register(register)
    measured.measure(circuit.qubits, register)
    return measured
