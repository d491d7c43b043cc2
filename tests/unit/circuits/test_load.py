"""What a user's file becomes, whatever its format, with bits in Qiskit's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from circuit_files import QASM2, QASM3, read, read2, read3
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qvirt.circuits import draw, dump, load
from qvirt.model.circuit import CircuitSource, Format

EXAMPLES = Path(__file__).parents[3] / "examples"


def state(circuit: QuantumCircuit) -> Statevector:
    return Statevector(circuit.remove_final_measurements(inplace=False))


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.parametrize("file_format", Format)
def test_format_is_told_by_content(file_format: Format) -> None:
    loaded = load(CircuitSource("misleading.txt", dump(bell(), file_format)))
    assert loaded.facts.format is file_format
    assert (loaded.facts.num_qubits, loaded.facts.gates, loaded.facts.measurements) == (2, 2, 2)
    assert not loaded.facts.measured_all_added


@pytest.mark.parametrize(
    ("text", "file_format"),
    [
        ("\ufeff// a comment\n/* another\n */OPENQASM 2.0;\nqreg q[1];", Format.OPENQASM2),
        ("\r\n\r\nOPENQASM 3;\r\nqubit q;\r\n", Format.OPENQASM3),
        ("qreg q[1];\nh q[0];", Format.OPENQASM2),
        ('include "qelib1.inc";\nqreg q[1];', Format.OPENQASM2),
        ('include "stdgates.inc";\nqubit q;', Format.OPENQASM3),
        ("qubit[2] q;\nh q;", Format.OPENQASM3),
        ('\n {"num_qubits": 1, "gates": []}', Format.JSON),
    ],
)
def test_beginnings(text: str, file_format: Format) -> None:
    assert read(text).facts.format is file_format


def test_no_measurement_means_all() -> None:
    loaded = read2("qreg a[2];\nqreg b[1];\ncreg meas[1];\nx b[0];")
    assert loaded.facts.measured_all_added
    assert loaded.facts.measurements == 3
    assert [register.name for register in loaded.circuit.cregs] == ["meas", "meas0"]
    measured = {
        loaded.circuit.find_bit(step.qubits[0]).index: loaded.circuit.find_bit(step.clbits[0]).index
        for step in loaded.circuit.data
        if step.name == "measure"
    }
    assert measured == {0: 1, 1: 2, 2: 3}


def test_a_measurement_in_a_body_counts() -> None:
    loaded = read3("qubit q;\nbit[2] c;\nwhile (!c[0]) { h q; c[0] = measure q; }")
    assert not loaded.facts.measured_all_added
    assert loaded.facts.control_flow


@pytest.mark.parametrize(
    "text",
    [
        f"{QASM2}qreg a[2];\nqreg b[1];\nx a[1];",
        f"{QASM3}qubit[2] a;\nqubit b;\nx a[1];",
        '{"num_qubits": 3, "gates": [{"type": "X", "qubits": [1]}]}',
    ],
)
def test_qubits_are_in_the_order_of_their_registers(text: str) -> None:
    assert np.flatnonzero(state(read(text).circuit).data) == [0b010]


def test_examples() -> None:
    files = {*EXAMPLES.glob("*.qasm"), *EXAMPLES.glob("*.json")} - {EXAMPLES / "ansatz.qasm"}
    loaded = {path.name: read(path.read_bytes()) for path in files}
    assert {"bell.qasm", "ghz.qasm", "teleport.qasm", "gates.json"} <= loaded.keys()
    assert state(loaded["bell.qasm"].circuit).probabilities_dict() == pytest.approx({"00": 0.5, "11": 0.5})
    assert state(loaded["ghz.qasm"].circuit).probabilities([0, 4]) == pytest.approx([0.5, 0, 0, 0.5])
    w_state = {"001": 1 / 3, "010": 1 / 3, "100": 1 / 3}
    assert state(loaded["gates.json"].circuit).probabilities_dict(decimals=9) == pytest.approx(w_state)
    teleport = loaded["teleport.qasm"]
    assert [register.name for register in teleport.circuit.cregs] == ["sent", "received"]
    assert teleport.facts.conditionals == 2
    assert not teleport.facts.terminal_measurements


def test_drawing() -> None:
    circuit = read2("qreg q[2];\nh q[0];\ncx q[0], q[1];").circuit
    lines = draw(circuit, 80).splitlines()
    assert lines[1].strip().startswith("q_0: ┤ H ├")
    assert all(len(line) <= 80 for line in lines)
    long = read2("qreg q[1];\n" + "h q[0];\n" * 5000).circuit
    assert draw(long, 80).endswith("and 3,001 more operations")
    assert "too many to draw" in draw(QuantumCircuit(300), 80)


def test_independent_parts() -> None:
    loaded = read2(
        "qreg q[6];\ncreg c[6];\nh q[0];\ncx q[0], q[2];\nbarrier q;\nh q[4];\n"
        "cx q[4], q[3];\nmeasure q -> c;"
    )
    assert loaded.facts.components == ((0, 2), (1,), (3, 4), (5,))
    assert [part.facts.num_qubits for part in loaded.parts] == [2, 1, 2, 1]
    assert sum(part.facts.size for part in loaded.parts) == loaded.facts.size
    for part, component in zip(loaded.parts, loaded.facts.components, strict=True):
        assert part.circuit.clbits == [loaded.circuit.clbits[qubit] for qubit in component]
        assert part.circuit.qubits == [loaded.circuit.qubits[q] for q in component]
    whole = state(loaded.circuit).probabilities([3, 4])
    assert state(loaded.parts[2].circuit).probabilities() == pytest.approx(whole)


def test_what_is_connected_or_only_single_qubits_has_no_parts() -> None:
    assert read2("qreg q[2];\nh q;\ncx q[0], q[1];").parts == ()
    assert read2("qreg q[20];\nh q;").parts == ()
