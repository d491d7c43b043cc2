"""Circuits with free parameters, in each format that has them."""

from __future__ import annotations

import io
import math

import pytest
from circuit_files import QASM2, QASM3
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator

from qvirt.circuits import Loaded, dump, load
from qvirt.errors import CircuitError
from qvirt.model.circuit import CircuitSource, Format

OPENQASM3 = f"""{QASM3}
input float a; input angle[32] b;
gate twist(x) q {{ rz(2 * x) q; gphase(x); }}
qubit[2] q;
for int i in [1:2] {{ ry(i * a - b) q[i - 1]; }}
twist(b) q[0];
ctrl @ rz(a / 2) q[0], q[1];
"""
JSON = """{"num_qubits": 2, "gates": [{"type": "RX", "qubits": [0], "params": ["a"]},
  {"type": "U", "qubits": [1], "params": ["b", 0.5, "a"]}]}"""


def loaded(data: str | bytes, *names: str) -> Loaded:
    octets = data if isinstance(data, bytes) else data.encode()
    return load(CircuitSource("test", octets), parameters=names)


def bound(found: Loaded, **values: float) -> Operator:
    circuit = found.circuit.remove_final_measurements(inplace=False)
    return Operator(circuit.assign_parameters(values))


def saved(circuit: QuantumCircuit) -> bytes:
    stream = io.BytesIO()
    qpy.dump(circuit, stream)
    return stream.getvalue()


def test_openqasm3_inputs() -> None:
    expected = QuantumCircuit(2)
    expected.ry(0.3 - 0.7, 0)
    expected.ry(2 * 0.3 - 0.7, 1)
    expected.rz(2 * 0.7, 0)
    expected.global_phase = 0.7
    expected.crz(0.15, 0, 1)
    assert bound(loaded(OPENQASM3, "a", "b"), a=0.3, b=0.7) == Operator(expected)


def test_names_in_a_gate_list() -> None:
    found = loaded(JSON, "a", "b")
    expected = QuantumCircuit(2)
    expected.rx(0.3, 0)
    expected.u(0.7, 0.5, 0.3, 1)
    assert bound(found, a=0.3, b=0.7) == Operator(expected)
    written = dump(found.circuit.remove_final_measurements(inplace=False), Format.JSON)
    assert bound(loaded(written, "a", "b"), a=0.3, b=0.7) == Operator(expected)
    with pytest.raises(CircuitError, match=r"gate 0 .RX.: 'pi/2' is neither a number nor the name"):
        loaded(JSON.replace('"a"', '"pi/2"'), "a", "b")
    free = QuantumCircuit(1)
    free.rx(2 * Parameter("a"), 0)
    with pytest.raises(CircuitError, match="cannot hold the angle 2"):
        dump(free, Format.JSON)


def test_parameters_in_qpy_within_definitions_and_conditions() -> None:
    angles, c = ParameterVector("t", 2), Parameter("c")
    inner = QuantumCircuit(1, name="inner", global_phase=c)
    inner.rx(angles[0] + c, 0)
    circuit = QuantumCircuit(1, 1)
    circuit.append(inner.to_gate(), [0])
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.ry(angles[1], 0)
    found = loaded(saved(circuit), "t[0]", "t[1]", "c")
    assert {parameter.name for parameter in found.circuit.parameters} == {"t[0]", "t[1]", "c"}
    ready = found.circuit.assign_parameters({"t[0]": 1.0, "t[1]": 2.0, "c": 0.5})
    assert ready.data[0].params == [1.5]
    assert ready.data[2].operation.blocks[0].data[0].params == [2.0]


def test_a_free_angle_is_no_clifford_gate_and_parts_stay_together() -> None:
    text = f"{QASM3}input float a;\nqubit[4] q;\nrx(a) q[0];\ncx q[0], q[1];\ncx q[2], q[3];\nh q[0];"
    found = loaded(text, "a")
    assert (found.facts.clifford_gates, found.facts.gates) == (3, 4)
    assert found.parts == ()


@pytest.mark.parametrize(
    ("data", "names", "message"),
    [
        (OPENQASM3, (), "parameters with no value: a, b"),
        (OPENQASM3, ("a",), "parameters with no value: b"),
        (OPENQASM3, ("a", "b", "c"), "has no parameter c: it has a, b"),
        (f"{QASM2}qreg q[1];\nh q[0];", ("a",), "no free parameters"),
    ],
)
def test_names_must_be_those_of_the_circuit(data: str, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(CircuitError, match=message) as raised:
        loaded(data, *names)
    assert raised.value.file == "test"
    assert "--params" in (raised.value.hint or "")


def test_a_loop_that_may_be_left_early_has_no_angle_of_its_variable() -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(3)) as number:
        circuit.rx(number * math.pi, 0)
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.break_loop()
    with pytest.raises(CircuitError, match="may be left early"):
        loaded(saved(circuit))
