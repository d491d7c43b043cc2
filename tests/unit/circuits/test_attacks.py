"""Files that are broken or hostile: each ends in one clear error, wherever possible with a place."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from circuit_files import QASM2, QASM3
from qiskit import QuantumCircuit, qpy

from qvirt.circuits import ParseLimits, load
from qvirt.errors import CircuitError, UsageError
from qvirt.model.circuit import CircuitSource
from qvirt.model.run import RunOptions

MILLION = 1_000_000


def doubling(levels: int, header: str, *, angles: bool) -> str:
    """Each gate is twice the one before; with ``angles`` no two uses have the same parameter."""
    formal, first, second = ("(a)", "(a)", "(a+1.0)") if angles else ("", "", "")
    lines = [f"gate g0{formal} q {{ {'rx(a)' if angles else 'x'} q; }}"]
    lines += [f"gate g{n + 1}{formal} q {{ g{n}{first} q; g{n}{second} q; }}" for n in range(levels)]
    register = "qreg q[1];" if header is QASM2 else "qubit[1] q;"
    return header + "\n".join([*lines, register, f"g{levels}{'(1.0)' if angles else ''} q[0];"])


def saved(circuit: QuantumCircuit, count: int = 1) -> bytes:
    stream = io.BytesIO()
    qpy.dump([circuit] * count, stream)
    return stream.getvalue()


def truncated_qpy() -> bytes:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    return saved(circuit)[:-20]


def qpy_of_a_billion_qubits() -> bytes:
    data, sizes = saved(QuantumCircuit(3, 2)), struct.pack("!II", 3, 2)
    assert data.count(sizes) == 1
    return data.replace(sizes, struct.pack("!II", 10**9, 2))


def doubling_qpy() -> bytes:
    """Four levels of a hundred each: small as a file, too large written out."""
    gate = QuantumCircuit(1, name="g")
    for _ in range(100):
        gate.x(0)
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(MILLION)):
        for _ in range(10):
            circuit.append(gate.to_gate(), [0])
    return saved(circuit)


# name -> (file or what makes it, line, column, words of the message)
ATTACKS: dict[str, tuple[str | bytes | Callable[[], str | bytes], int | None, int | None, str]] = {
    "empty": ("", None, None, "nothing in the file"),
    "only comments": ("// a\n/* b */\n", None, None, "nothing but comments"),
    "only blank": (" \n\t\n" * 1000, None, None, "nothing"),
    "no qubits": ("OPENQASM 2.0;\n", None, None, "no qubits"),
    "no qubits, 3": ("OPENQASM 3.0;\n", None, None, "no qubits"),
    "another language": ("import qiskit\n", 1, 1, "no circuit format"),
    "an unknown version": ("// new\nOPENQASM 4.0;\nqubit q;", 2, 1, "no circuit format"),
    "parentheses": (
        lambda: f"{QASM2}qreg q[1];\nrx({'(' * MILLION}1{')' * MILLION}) q[0];",
        4,
        203,
        "nested",
    ),
    "parentheses, 3": (lambda: f"{QASM3}qubit q;\nrx({'(' * MILLION}1{')' * MILLION}) q;", 4, 203, "nested"),
    "open braces": (lambda: QASM3 + "{" * MILLION, 3, 201, "nested"),
    "signs": (lambda: f"{QASM2}qreg q[1];\nrx({'-' * MILLION}1) q[0];", 4, 1, "operators"),
    "signs, 3": (lambda: f"{QASM3}qubit q;\nrx({'-' * MILLION}1) q;", 4, 1, "operators"),
    "a long sum": (lambda: f"{QASM2}gate g(a) b {{\n rx({'a+' * MILLION}1) b; }}", 4, 2, "operators"),
    "ifs": (lambda: f"{QASM3}qubit q;\nbit c;\n{'if (c) ' * MILLION}x q;", 5, 1, "operators"),
    "else ifs": (
        lambda: f"{QASM3}qubit q;\nbit c;\nif (c) x q; {'else if (c) x q; ' * 5000}",
        5,
        1,
        "nested",
    ),
    "statements": (lambda: QASM2 + ";" * 6 * MILLION, None, None, "statements"),
    "a huge register": (f"{QASM2}qreg q[2000000000];", 3, 1, "2,000,000,000 qubits"),
    "huge together": (f"{QASM2}qreg a[60000];\n qreg b[60000];", 4, 2, "100,000 in all"),
    "a huge register, 3": (f"{QASM3}qubit[2000000000] q;", 3, 1, "2,000,000,000"),
    "a huge product": (f"{QASM3}qubit[2 * 1000000000] q;", 3, 1, "2,000,000,000"),
    "huge classically": (f"{QASM3}qubit q;\nbit[2000000000] c;", 4, 1, "2,000,000,000"),
    "a long number": (f"{QASM2}qreg q[{'9' * 5000}];", 3, 1, "5000-digit"),
    "a long number, 3": (f"{QASM3}qubit[{'9' * 5000}] q;", 3, 1, ""),
    "a long index": (f"{QASM2}qreg q[1];\nx q[{'9' * 30}];", 4, 4, "too large"),
    "a far qubit": ("OPENQASM 3.0;\nU(0, 0, 0) $2000000000;", 2, 12, "no qubit $2000000000"),
    "an empty register": (f"{QASM3}qubit[0] q;", 3, 1, "register"),
    "doubling": (doubling(60, QASM2, angles=False), 24, 1, "when written out"),
    "doubling with angles": (doubling(60, QASM2, angles=True), 24, 1, "when written out"),
    "doubling, 3": (doubling(60, QASM3, angles=False), 24, 1, "when written out"),
    "doubling with angles, 3": (doubling(60, QASM3, angles=True), 24, 1, "when written out"),
    "doubling often": (doubling(3000, QASM2, angles=False), 24, 1, "when written out"),
    "gate definitions": (
        lambda: QASM2 + "".join(f"gate a{n} b {{ }}\n" for n in range(6000)),
        *(None, None, "6,000 gates are defined"),
    ),
    "whole registers": (lambda: f"{QASM2}qreg q[100000];\n" + "h q;\n" * 1000, None, None, "whole registers"),
    "whole registers, 3": (
        lambda: f"{QASM3}qubit[99999] q;\n" + "h q;\n" * 1000,
        None,
        None,
        "whole registers",
    ),
    "a long loop": (f"{QASM3}qubit q;\nfor int i in [0:1000000000000] {{ x q; }}", 4, 1, "operations"),
    "many controls": (f"{QASM3}qubit q;\nctrl(1000000000) @ x q;", 4, 1, "controls"),
    "a long idle gate": (f"{QASM2}qreg q[1];\nu0(1e300) zz[0];", 4, 11, "'zz' is not defined"),
    "another include": (f'{QASM2}qreg q[1];\ninclude "other.inc";', 4, 1, "other.inc"),
    "an absolute include": (f'{QASM2}\ninclude "/etc/passwd";', 4, 1, "/etc/passwd"),
    "an include above": (f'{QASM2}include "../../secret.inc";', 3, 1, "secret.inc"),
    "another include, 3": (f'{QASM3}\n include "../../secret.inc";', 4, 2, "secret.inc"),
    "100 MB on one line": (lambda: b"OPENQASM 2.0;" + b"x" * (100 << 20), None, None, "bytes"),
    "an endless name": (lambda: QASM2 + "a" * MILLION, 3, 1, "..."),
    "NUL": (f"{QASM2}qreg q[1];\nx\0 q[0];", 4, 2, "NUL"),
    "a byte order mark": ("\ufeffOPENQASM 2.0;\nqreg q[1];\nfoo q[0];", 3, 1, "'foo' is not defined"),
    "wrong UTF-8": (QASM2.encode() + b"qreg q[1]; // \xc3\xa9\xff", 3, 16, "0xff is not UTF-8"),
    "UTF-16": ("OPENQASM 2.0;\nqreg q[1];".encode("utf-16"), 1, 1, "UTF-16"),
    "an open comment": (f"{QASM2}qreg q[1]; /* and", 3, 12, "not closed"),
    "a control character": (f"{QASM2}qreg q[1];\nrx(pi\x01) q[0];", 4, 6, "valid token"),
    "named like a gate": (f"{QASM2}qreg q[1];\nqreg cx[2];", 4, 6, "'cx' is already defined"),
    "named like a gate, 3": (f"{QASM3}qubit q;\nqubit[2] cx;", 4, 1, "'cx' is already defined"),
    "NaN": (f"{QASM2}qreg q[1];\n  rx(0/0) q[0];", 4, 7, "divide by zero"),
    "a logarithm": (f"{QASM2}qreg q[1];\nrx(ln(-1)) q[0];", 4, 4, "ln"),
    "infinity": (f"{QASM2}qreg q[1];\nx q[0];\n  rx(1e999) q[0];", 5, 3, "inf, not a finite"),
    "infinity by product": (f"{QASM2}qreg q[1];\nx q[0]; rx(1e300*1e300) q[0];", 4, 9, "not a finite"),
    "NaN inside": (f"{QASM2}gate g(a) q {{ rx(1/a) q; }}\nqreg q[1];\n\n g(0) q[0];", 6, 2, "zero"),
    "infinity inside": (f"{QASM2}gate g(a) q {{ rx(a*1e308) q; }}\nqreg q[1];\ng(9) q[0];", 5, 1, "finite"),
    "infinity, 3": (f"{QASM3}qubit q;\nrx(1e999) q;", 4, 4, "not a finite"),
    "division by zero, 3": (f"{QASM3}qubit q;\nrx(1.0/0) q;", 4, 1, "division by zero"),
    "no angle": (f"{QASM2}qreg q[1];\nx q[0];\nrx q[0];", 5, 1, "too few"),
    "no angle, 3": (f"{QASM3}qubit q;\nrx q;", 4, 1, "takes 1 angles"),
    "an unbound angle": (f"{QASM3}input float a;\nqubit q;\nrx(a) q;", None, None, "no value: a"),
    "an unknown gate": (f"{QASM2}qreg q[1];\ncxx q[0];", 4, 1, "'cxx' is not defined"),
    "an opaque gate": (f"{QASM2}opaque f q;\nqreg q[1];\nx q[0];\nf q[0];", 6, 1, "no definition"),
    "no register to measure into": (f"{QASM2}qreg q[1];\nmeasure q -> c;", 4, 14, "'c' is not defined"),
    "no bit to measure into, 3": (f"{QASM3}qubit q;\nc = measure q;", 4, 1, "'c'"),
    "the same qubit twice": (f"{QASM2}qreg q[2];\ncx q[1], q[1];", 4, 1, "duplicate"),
    "the same qubit twice, 3": (f"{QASM3}qubit[2] q;\nx q[0];\ncx q[1], q[1];", 5, 1, "duplicate"),
    "no such qubit": (f"{QASM2}qreg q[2];\nx q[2];", 4, 5, "out-of-range"),
    "no such qubit, 3": (f"{QASM3}qubit[2] q;\nx q[2];", 4, 1, "out of range"),
    "no semicolon": (f"{QASM2}qreg q[1];\nh q[0]\nx q[0];", 5, 1, "needed ';'"),
    "no semicolon, 3": (f"{QASM3}qubit q;\nh q\nx q;", 5, 1, "'x' is not expected"),
    "no end, 3": (f"{QASM3}qubit q;\nif (true) {{ x q;", 4, 1, "does not end"),
    "an odd sign, 3": (f"{QASM3}qubit q;\nh q; `", 4, 6, "token recognition"),
    "a subroutine": (f"{QASM3}def f(qubit q) {{ h q; }}\n", 3, 1, "subroutine definition is not supported"),
    "a classical variable": (f"{QASM3}uint[8] n;\n", 3, 1, "type 'uint'"),
    "half an object": ("{", 1, 2, "truncated"),
    "deep JSON": (lambda: '{"num_qubits": 1, "gates": ' + "[" * MILLION, None, None, "gates[0]"),
    "deep JSON at once": (lambda: "[" * MILLION, None, None, "Expected `object`"),
    "deep unknown JSON": (lambda: '{"x": ' + "[" * MILLION, None, None, ""),
    "a huge number in JSON": ('{"num_qubits": ' + "9" * 5000 + ', "gates": []}', None, None, "out of range"),
    "many qubits in JSON": ('{"num_qubits": 2000000000, "gates": []}', None, None, "2,000,000,000 qubits"),
    "negative in JSON": ('{"num_qubits": -1, "gates": []}', None, None, "-1 qubits"),
    "NaN in JSON": (
        '{"num_qubits": 1, "gates": [\n{"type": "RX", "qubits": [0], "params": [NaN]}]}',
        *(2, 42, "invalid character"),
    ),
    "infinity in JSON": (
        '{"num_qubits": 1, "gates": [{"type": "RX", "qubits": [0], "params": [1e999]}]}',
        *(None, None, "gates[0].params[0]"),
    ),
    "truncated QPY": (truncated_qpy, None, None, "not a readable QPY file"),
    "only the magic": (b"QISKIT", None, None, "header"),
    "a QPY of noise": (b"QISKIT" + bytes(range(256)) * 10, None, None, "QPY"),
    "two circuits": (lambda: saved(QuantumCircuit(1), 2), None, None, "2 circuits"),
    "a QPY of a billion qubits": (qpy_of_a_billion_qubits, None, None, "1,000,000,000 qubits"),
    "a QPY that grows": (doubling_qpy, None, None, "operations"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_ends_in_one_error(name: str) -> None:
    made, line, column, words = ATTACKS[name]
    data = made() if callable(made) else made
    source = CircuitSource("bad.qasm", data.encode() if isinstance(data, str) else data)
    with pytest.raises(CircuitError) as caught:
        load(source)
    error = caught.value
    assert (error.file, error.line, error.column) == ("bad.qasm", line, column), str(error)
    assert words in error.message
    assert len(str(error)) < 500


@pytest.mark.parametrize("shots", [0, -1, 2**63])
def test_shots(shots: int) -> None:
    with pytest.raises(UsageError, match="shots"):
        RunOptions(shots=shots)


HINTS: list[tuple[str, str]] = [
    (f"{QASM2}qreg q[1];\ncxx q[0];", "did you mean"),
    (f"{QASM3}qubit q;\nhh q;", "did you mean"),
    (f"{QASM2}qreg q[1];\nmeasure q -> c;", "declare it"),
    ("h q[0];", "OPENQASM 2.0;"),
    ('{"num_qubits": 1, "gates": [{"type": "HX", "qubits": [0]}]}', "did you mean"),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_hints(text: str, hint: str) -> None:
    with pytest.raises(CircuitError) as caught:
        load(CircuitSource("bad", text.encode()))
    assert hint in (caught.value.hint or "")


def test_the_limits_are_a_parameter() -> None:
    source = CircuitSource("bell", f"{QASM2}qreg q[2];\nh q[0];\ncx q[0], q[1];".encode())
    assert load(source, ParseLimits(qubits=2, gates=2)).facts.gates == 2
    with pytest.raises(CircuitError, match="qubits"):
        load(source, ParseLimits(qubits=1))
    with pytest.raises(CircuitError, match="2 operations"):
        load(source, ParseLimits(gates=1))
