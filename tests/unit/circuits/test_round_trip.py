"""Circuits written in every format and read again do the same."""

from __future__ import annotations

import io

import pytest
from circuit_files import read
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit.random import random_circuit
from qiskit.qpy import common
from qiskit.quantum_info import Operator

from qvirt.circuits import ParseLimits, dump
from qvirt.circuits.flatten import flatten
from qvirt.errors import CircuitError
from qvirt.model.circuit import Format


def operator(circuit: QuantumCircuit) -> Operator:
    return Operator(circuit.remove_final_measurements(inplace=False))


@pytest.mark.parametrize("file_format", Format)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(qubits=st.integers(1, 4), depth=st.integers(1, 8), seed=st.integers(0, 2**31))
def test_the_same_operator(file_format: Format, qubits: int, depth: int, seed: int) -> None:
    circuit = random_circuit(qubits, depth, max_operands=3, seed=seed)
    flat = flatten(circuit, ParseLimits())
    loaded = read(dump(flat, file_format))
    assert loaded.facts.format is file_format
    assert operator(loaded.circuit).equiv(Operator(circuit))


@pytest.mark.parametrize("file_format", [Format.OPENQASM2, Format.OPENQASM3, Format.QPY])
def test_custom_gates_and_registers(file_format: Format) -> None:
    inner = QuantumCircuit(2, name="pair")
    inner.h(0)
    inner.crx(0.2, 0, 1)
    circuit = QuantumCircuit(3, 2, name="c")
    circuit.append(inner.to_gate(), [2, 0])
    circuit.append(inner.to_gate().control(1), [1, 0, 2])
    circuit.append(inner.to_gate().inverse(), [0, 1])
    unmeasured = Operator(circuit)
    circuit.measure([0, 2], [1, 0])
    loaded = read(dump(circuit, file_format))
    measured = [step for step in loaded.circuit.data if step.name == "measure"]
    where = [(loaded.circuit.find_bit(b).index) for s in measured for b in (s.qubits[0], s.clbits[0])]
    assert where == [0, 1, 2, 0]
    assert operator(loaded.circuit).equiv(unmeasured)


def test_control_flow_goes_through_openqasm3_and_qpy() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((0, True)) as else_:
        circuit.x(1)
    with else_:
        circuit.z(1)
    with circuit.while_loop((circuit.clbits[0], True)):
        circuit.measure(0, 0)
    for file_format in (Format.OPENQASM3, Format.QPY):
        facts = read(dump(circuit, file_format)).facts
        assert (facts.conditionals, facts.measurements) == (2, 2)
    with pytest.raises(CircuitError, match="OpenQASM 2 cannot hold"):
        dump(circuit, Format.OPENQASM2)


@pytest.mark.parametrize("version", range(common.QPY_COMPATIBILITY_VERSION, common.QPY_VERSION + 1))
def test_older_qpy(version: int) -> None:
    circuit = random_circuit(3, 3, seed=version)
    stream = io.BytesIO()
    qpy.dump(circuit, stream, version=version)
    assert operator(read(stream.getvalue()).circuit).equiv(Operator(circuit))
