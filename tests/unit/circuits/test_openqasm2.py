"""OpenQASM 2 as real files write it."""

from __future__ import annotations

import pytest
from circuit_files import QASM2, read, read2
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit.library import standard_gates as std
from qiskit.quantum_info import Operator, Statevector

from qvirt.circuits.standard_gates import standard_gates


def operator(circuit: QuantumCircuit) -> Operator:
    return Operator(circuit.remove_final_measurements(inplace=False))


@pytest.mark.parametrize("name", [*standard_gates(), "c3x", "c4x", "c3sqrtx", "rc3x", "u0", "CX", "U"])
def test_gates_that_no_include_defines(name: str) -> None:
    legacy = {gate.name: gate for gate in qasm2.LEGACY_CUSTOM_INSTRUCTIONS}
    known = standard_gates().get(name)
    gate = known.make if known else {"CX": std.CXGate, "U": std.UGate, "u0": lambda _: std.IGate()}.get(name)
    gate = gate or legacy[name].constructor
    params, qubits = {
        **{n: (g.num_params, g.num_qubits) for n, g in standard_gates().items()},
        **{n: (g.num_params, g.num_qubits) for n, g in legacy.items()},
        "CX": (0, 2),
        "U": (3, 1),
    }[name]
    angles = [0.3 * (i + 1) for i in range(params)]
    call = f"({','.join(map(str, angles))})" if angles else ""
    on = ",".join(f"q[{i}]" for i in range(qubits))
    loaded = read2(f"qreg q[{qubits}];\n{name}{call} {on};")
    expected = QuantumCircuit(qubits)
    expected.append(gate(*angles), range(qubits))
    assert operator(loaded.circuit).equiv(Operator(expected))


def test_delay_and_identity() -> None:
    facts = read2("opaque delay(t) a;\nqreg q[1];\ndelay(100) q[0];\nid q[0];\nu0(2) q[0];").facts
    assert facts.operations == {"delay": 1, "id": 2, "measure": 1}
    assert read2("qreg q[1];\ndelay(100) q[0];").facts.gates == 0


def test_a_file_without_include_may_use_its_gates() -> None:
    assert read("OPENQASM 2.0;\nqreg q[2];\nh q[0];\ncx q[0],q[1];").facts.gates == 2


@pytest.mark.parametrize(
    ("definition", "use", "gates"),
    [
        ("gate swap a, b { x a; }", "swap q[0], q[1];", {"x": 1}),
        ("gate p(a, b) c { rx(a) c; ry(b) c; }", "p(1, 2) q[0];", {"rx": 1, "ry": 1}),
        ("gate rzz(t) a, b { cx a, b; u1(t) b; cx a, b; }", "rzz(pi) q[0], q[1];", {"cx": 2, "u1": 1}),
        ("gate unitary a { h a; }", "unitary q[0];", {"h": 1}),
        ("gate delay a { z a; }", "delay q[0];", {"z": 1}),
        ("gate iswap a { y a; }", "if (c == 0) iswap q[1];", {"y": 1, "if_else": 1}),
        ("gate asin a { y a; }", "asin q[1];", {"y": 1}),
    ],
)
def test_a_gate_that_the_file_defines_is_the_files_own(
    definition: str, use: str, gates: dict[str, int]
) -> None:
    operations = dict(read2(f"{definition}\nqreg q[2];\ncreg c[1];\n{use}").facts.operations)
    operations.pop("measure")
    assert operations == gates


def test_registers_may_be_named_like_gates_that_no_include_defines() -> None:
    loaded = read2("qreg p[2];\ncreg swap[1];\nqreg u[1];\nx p[1];\nmeasure p[1] -> swap[0];")
    assert [register.name for register in loaded.circuit.qregs] == ["p", "u"]


def test_a_self_contained_library() -> None:
    """Some tools write the definitions of qelib1.inc into the file in place of including it."""
    text = """OPENQASM 2.0;
    gate u3(theta,phi,lambda) q { U(theta,phi,lambda) q; }
    gate u2(phi,lambda) q { U(pi/2,phi,lambda) q; }
    gate cx c,t { CX c,t; }
    gate h a { u2(0,pi) a; }
    gate x a { u3(pi,0,pi) a; }
    qreg q[2]; h q[0]; cx q[0],q[1]; x q[0];"""
    loaded = read(text)
    assert loaded.facts.is_clifford
    probabilities = Statevector(loaded.circuit.remove_final_measurements(inplace=False)).probabilities()
    assert probabilities == pytest.approx([0, 0.5, 0.5, 0])


def test_comments_of_both_kinds() -> None:
    loaded = read2('/* qreg q[9];\n */ qreg q[2]; // include "other.inc"; "\nx q[1]; // }}}\n')
    assert (loaded.facts.num_qubits, loaded.facts.gates) == (2, 1)


def test_nested_definitions_keep_their_angles() -> None:
    loaded = read2(
        "gate a(t) q { rx(t/2) q; rz(-t) q; }\n"
        "gate b(t, s) q, r { a(t+s) r; cx q, r; a(sin(s)) q; barrier q; }\n"
        "qreg q[3];\nb(0.5, 0.25) q[2], q[0];\nb(0.1, 0.2) q[0], q[1];\nb(0.5, 0.25) q[1], q[2];"
    )
    expected = qasm2.loads(
        f"{QASM2}gate a(t) q {{ rx(t/2) q; rz(-t) q; }}\n"
        "gate b(t, s) q, r { a(t+s) r; cx q, r; a(sin(s)) q; }\n"
        "qreg q[3];\nb(0.5, 0.25) q[2], q[0];\nb(0.1, 0.2) q[0], q[1];\nb(0.5, 0.25) q[1], q[2];"
    )
    assert operator(loaded.circuit).equiv(Operator(expected))
    assert loaded.facts.operations == {"rx": 6, "rz": 6, "cx": 3, "barrier": 3, "measure": 3}


def test_a_long_chain_of_definitions() -> None:
    lines = [f"gate g{n + 1} a {{ g{n} a; }}" for n in range(2000)]
    loaded = read2("gate g0 a { x a; }\n" + "\n".join(lines) + "\nqreg q[1];\ng2000 q[0];")
    assert loaded.facts.operations == {"x": 1, "measure": 1}


def test_conditions_and_resets() -> None:
    facts = read2(
        "qreg q[2];\ncreg c[2];\nx q[0];\nmeasure q[0] -> c[0];\nif (c == 1) x q[1];\nreset q[0];\n"
        "measure q -> c;"
    ).facts
    assert (facts.conditionals, facts.resets, facts.measurements) == (1, 1, 3)
    assert not facts.terminal_measurements
