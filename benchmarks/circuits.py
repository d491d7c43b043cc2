"""The circuits that choices are judged on: MQT Bench families, and hard cases of our own.

Each is OpenQASM text, so that reading it is part of every measurement, as it is for users.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

from qvirt.methods.families import circuit

MQT_FAMILIES = (
    *("ae", "bv", "cdkm_ripple_carry_adder", "dj", "draper_qft_adder", "full_adder", "ghz", "graphstate"),
    *("grover", "half_adder", "hhl", "modular_adder", "multiplier", "qaoa", "qft", "qftentangled", "qnn"),
    *("qpeexact", "qpeinexact", "qwalk", "randomcircuit", "rg_qft_multiplier", "vbe_ripple_carry_adder"),
    *("vqe_real_amp", "vqe_su2", "vqe_two_local", "wstate", "dynamic_qft", "ghz_dynamic", "iqpe"),
)


def mqt_bench(sizes: list[int]) -> Iterator[tuple[str, str]]:
    """Name and OpenQASM of every family that exists at a size."""
    from mqt.bench import BenchmarkLevel, get_benchmark

    for family in MQT_FAMILIES:
        for size in sizes:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield f"{family}_{size}", exported(get_benchmark(family, BenchmarkLevel.INDEP, size))
            except Exception as error:
                print(f"# {family} {size}: not made ({type(error).__name__}: {str(error)[:60]})", flush=True)


def exported(circuit: Any) -> str:
    """OpenQASM 2; 3 where the circuit is dynamic; opened gate by gate where Qiskit can write neither."""
    from qiskit import qasm2, qasm3

    for write in (qasm2.dumps, qasm3.dumps):
        try:
            return write(circuit)
        except Exception:
            continue
    return qasm2.dumps(circuit.decompose(reps=4))


def hard_cases() -> Iterator[tuple[str, str]]:
    """Where the obvious method is the wrong one."""
    for size in (12, 20, 24):
        yield f"qv_{size}", circuit("qv", size, seed=3)
        yield f"random_{size}", circuit("random", size, seed=3)
    for size in (40, 200):
        yield f"ghz_{size}", circuit("ghz", size)
        yield f"clifford_{size}", circuit("clifford", size, seed=3)
    for half in (6, 10, 12, 20):
        yield f"swap_test_{2 * half + 1}", swap_test(half)
    for size in (20, 26, 60):
        yield f"brickwork_{size}", brickwork(size, layers=4)
    yield "islands_48", islands(copies=8, size=6)
    yield "counter_24", counter(24)
    yield "teleport_chain_9", teleport_chain(9)


def _program(qubits: int, clbits: int, lines: list[str]) -> str:
    head = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{qubits}];", f"creg c[{clbits}];"]
    return "\n".join(head + lines) + "\n"


def swap_test(half: int) -> str:
    """Overlap of two product states of ``half`` qubits each: little entanglement, many gates across."""
    rng = random.Random(half)
    lines = [f"ry({rng.uniform(0, 3)}) q[{i}];" for i in range(1, 2 * half + 1)] + ["h q[0];"]
    lines += [f"cswap q[0],q[{1 + i}],q[{1 + half + i}];" for i in range(half)]
    return _program(2 * half + 1, 1, [*lines, "h q[0];", "measure q[0] -> c[0];"])


def brickwork(qubits: int, layers: int) -> str:
    """A shallow one-dimensional circuit: bounded entanglement at any width."""
    rng = random.Random(qubits)
    lines = []
    for layer in range(layers):
        lines += [
            f"u3({rng.uniform(0, 3)},{rng.uniform(0, 6)},{rng.uniform(0, 6)}) q[{i}];" for i in range(qubits)
        ]
        lines += [f"cx q[{i}],q[{i + 1}];" for i in range(layer % 2, qubits - 1, 2)]
    return _program(qubits, qubits, [*lines, "measure q -> c;"])


def islands(copies: int, size: int) -> str:
    """Independent dense circuits side by side."""
    rng = random.Random(copies)
    lines = []
    for base in range(0, copies * size, size):
        for _ in range(20):
            a, b = rng.sample(range(base, base + size), 2)
            lines += [f"u3({rng.uniform(0, 3)},{rng.uniform(0, 6)},0.3) q[{a}];", f"cx q[{a}],q[{b}];"]
    return _program(copies * size, copies * size, [*lines, "measure q -> c;"])


def counter(qubits: int) -> str:
    """Reversible logic on a superposition of few basis states: huge as a vector, small as a diagram."""
    rng = random.Random(qubits)
    lines = ["h q[0];", "h q[1];"]
    for _ in range(40 * qubits):
        a, b, c = rng.sample(range(qubits), 3)
        lines.append(f"ccx q[{a}],q[{b}],q[{c}];" if rng.random() < 0.5 else f"cx q[{a}],q[{c}];")
        lines.append(f"t q[{b}];")
    return _program(qubits, qubits, [*lines, "measure q -> c;"])


def teleport_chain(links: int) -> str:
    """Mid-circuit measurement, classical conditions and reset: one state passed on along a chain."""
    lines = [
        "OPENQASM 2.0;",
        'include "qelib1.inc";',
        "qreg q[3];",
        "creg a[1];",
        "creg b[1];",
        "creg out[1];",
    ]
    lines.append("ry(0.7) q[0];")
    for _ in range(links):
        lines += ["h q[1];", "cx q[1],q[2];", "cx q[0],q[1];", "h q[0];"]
        lines += ["measure q[0] -> a[0];", "measure q[1] -> b[0];", "if(b==1) x q[2];", "if(a==1) z q[2];"]
        lines += ["reset q[0];", "reset q[1];", "swap q[0],q[2];"]
    return "\n".join([*lines, "measure q[0] -> out[0];"]) + "\n"
