"""OpenQASM 3: what Qiskit's importer reads, what is added to it, and the shortcut in front of it."""

from __future__ import annotations

import math

import pytest
import qiskit_qasm3_import
from circuit_files import QASM3, read, read3
from qiskit import QuantumCircuit
from qiskit.circuit import library
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator

from qvirt.circuits import dump
from qvirt.errors import CircuitError
from qvirt.model.circuit import Format


def operator(circuit: QuantumCircuit) -> Operator:
    return Operator(circuit.remove_final_measurements(inplace=False))


def circuit(*gates: tuple[object, list[int]], qubits: int = 3) -> Operator:
    built = QuantumCircuit(qubits)
    for gate, on in gates:
        built.append(gate, on)
    return Operator(built)


X, Y, H, CX = library.XGate(), library.YGate(), library.HGate(), library.CXGate()
U = library.RXGate(0.5)

PROGRAMS = {
    "h q[{0, 2}];": circuit((H, [0]), (H, [2])),
    "h q[1:2];": circuit((H, [1]), (H, [2])),
    "let a = q[1:2]; cx a[1], a[0];": circuit((CX, [2, 1])),
    "for int i in [0:2] { h q[i]; }": circuit((H, [0]), (H, [1]), (H, [2])),
    "for uint i in [2:-1:1] cx q[i], q[i - 1];": circuit((CX, [2, 1]), (CX, [1, 0])),
    "for int i in {2, 0} x q[i];\ny q[1];": circuit((X, [2]), (X, [0]), (Y, [1])),
    "for int i in {1} { for int j in [0:i] { rx(j * 0.5) q[i]; } }": circuit((U, [1])),
    "const int n = 2; for int i in [0:n - 1] { cx q[i], q[i + 1]; }": circuit((CX, [0, 1]), (CX, [1, 2])),
    "const float w = pi / 4; rx(2 * w) q[0];": circuit((library.RXGate(math.pi / 2), [0])),
    "rx(1 / 2) q[0]; x q[1];": circuit((X, [1])),
    "rzz(0.5) q[0], q[2]; sxdg q[1];": circuit((library.RZZGate(0.5), [0, 2]), (library.SXdgGate(), [1])),
    "pow(0.5) @ x q[0];": circuit((library.SXGate(), [0])),
    "pow(2) @ s q[0];": circuit((library.ZGate(), [0])),
    "inv @ ctrl @ s q[0], q[1];": circuit((library.CSdgGate(), [0, 1])),
    "ctrl(2) @ x q[2], q[0], q[1];": circuit((library.CCXGate(), [2, 0, 1])),
    "negctrl @ x q[0], q[1];": circuit((library.CXGate(ctrl_state=0), [0, 1])),
    "ctrl @ gphase(0.3) q[1];": circuit((library.PhaseGate(0.3), [1])),
    "inv @ ctrl(2) @ gphase(0.3) q[1], q[2];": circuit((library.CPhaseGate(-0.3), [1, 2])),
    "gate g(a) b { ctrl @ gphase(a) b; rx(a / 2) b; } g(1.0) q[2];": circuit(
        (library.PhaseGate(1.0), [2]), (U, [2])
    ),
    "gate g(a) b { rx(a) b; } gate k(a) b, c { ctrl @ g(a / 2) b, c; } k(1.0) q[1], q[0];": circuit(
        (library.CRXGate(0.5), [1, 0])
    ),
    "gate x2 a { x a; } inv @ x2 q[0]; ctrl @ x2 q[0], q[1];": circuit((X, [0]), (CX, [0, 1])),
    "box { h q[0]; }": circuit((H, [0])),
    "U(0.1, 0.2, 0.3) q[0]; delay[100ns] q[0]; barrier q;": circuit((library.UGate(0.1, 0.2, 0.3), [0])),
    "/* x q[0]; */ y q[1]; // z q[2];": circuit((Y, [1])),
    "rx(-.5e0) q[0];\nrx(1.) q[0];": circuit((U, [0])),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program: str) -> None:
    loaded = read3(f"qubit[3] q;\n{program}")
    assert operator(loaded.circuit).equiv(PROGRAMS[program])
    assert not loaded.facts.control_flow


CONDITIONS = [
    "if (c[0]) x q[0];",
    "if (!c[0]) { x q[0]; } else { y q[0]; }",
    "if (c[0] == 1) x q[0];",
    "if (c[0] != 0) x q[0];",
    "if (c == 2) x q[0];",
    "if (c != 2) x q[0];",
    "if (c < 2 && !d) x q[0];",
    "if (c[0] ^ c[1]) x q[0];",
    "if (c[0]) x q[0];\nelse if (c[1]) y q[0];\nelse z q[0];\nh q[1];",
    "while (c[0] == 1) { h q[0]; c[0] = measure q[0]; }",
    "for int i in [0:5] { h q[0]; c[0] = measure q[0]; if (c[0]) { break; } }",
]


@pytest.mark.parametrize("program", CONDITIONS)
def test_control_flow(program: str) -> None:
    facts = read3(f"qubit[2] q;\nbit[2] c;\nbit d;\n{program}").facts
    assert facts.control_flow
    assert facts.conditionals == program.count("if ") + program.count("while ")


def test_old_declarations_and_measurements() -> None:
    facts = read3("qreg q[2];\ncreg c[2];\nx q[0];\nmeasure q -> c;").facts
    assert (facts.num_qubits, facts.num_clbits, facts.measurements) == (2, 2, 2)
    assert read3("qubit[2] q;\nbit[2] c = measure q;").facts.measurements == 2


def test_hardware_qubits() -> None:
    assert read('OPENQASM 3.0;\ninclude "stdgates.inc";\ncx $0, $3;').facts.num_qubits == 4


@pytest.mark.parametrize("seed", range(4))
def test_the_shortcut_reads_what_the_importer_reads(seed: int) -> None:
    """Many statements of one form, in the order and with the numbers of the text."""
    made = random_circuit(4, 30, max_operands=3, seed=seed, measure=True, conditional=seed % 2 == 1)
    text = dump(made, Format.OPENQASM3).decode()
    whole = qiskit_qasm3_import.parse(text)
    loaded = read(text).circuit
    assert dump(loaded, Format.OPENQASM3) == dump(_standard(whole), Format.OPENQASM3)


def _standard(circuit: QuantumCircuit) -> QuantumCircuit:
    from qvirt.circuits import ParseLimits
    from qvirt.circuits.flatten import flatten

    return flatten(circuit, ParseLimits())


def test_places_after_many_statements_of_one_form() -> None:
    lines = "\n".join(f"rx({n}.5) q[{n % 3}];" for n in range(50))
    with pytest.raises(CircuitError) as caught:
        read3(f"qubit[3] q;\n{lines}\n rx(0.5) q[3];\nx q[0];")
    assert (caught.value.line, caught.value.column) == (QASM3.count("\n") + 52, 2)
