"""Every gate of Qiskit's library, and what people build of it, comes down to the same few names."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_files import read
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, Gate, InverseModifier, library
from qiskit.quantum_info import Clifford, Operator, random_unitary

from qvirt.circuits import ParseLimits, dump
from qvirt.circuits.flatten import flatten
from qvirt.circuits.standard_gates import standard_gates
from qvirt.errors import CircuitError
from qvirt.model.circuit import Format

KEPT = {*standard_gates(), "mcx", "mcphase", "unitary", "barrier", "delay", "measure", "reset"}
LIMITS = ParseLimits()


def custom() -> Gate:
    inner = QuantumCircuit(2, name="swap", global_phase=0.4)
    inner.h(0)
    inner.rzx(0.3, 0, 1)
    outer = QuantumCircuit(3, name="h")
    outer.append(inner.to_gate(), [2, 0])
    outer.append(inner.to_gate().control(1), [1, 2, 0])
    return outer.to_gate()


OPERATIONS = {
    "custom": custom(),
    "inverse": custom().inverse(),
    "power": custom().power(2),
    "mcx": library.MCXGate(4),
    "mcx of three": library.MCXGate(3),
    "c3x": library.C3XGate(),
    "c4x": library.C4XGate(),
    "open controls": library.MCXGate(4, ctrl_state=5),
    "mcphase": library.MCPhaseGate(0.3, 3),
    "mcphase of one": library.MCPhaseGate(0.3, 1),
    "global phase": library.GlobalPhaseGate(0.3),
    "qft": library.QFTGate(3),
    "unitary": library.UnitaryGate(random_unitary(8, seed=1)),
    "diagonal": library.DiagonalGate([1, 1j, -1, 1]),
    "permutation": library.PermutationGate([2, 0, 1]),
    "pauli": library.PauliGate("XYZ"),
    "annotated": AnnotatedOperation(library.SGate(), [ControlModifier(2), InverseModifier()]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_same_operator_in_known_gates(name: str) -> None:
    operation = OPERATIONS[name]
    circuit = QuantumCircuit(operation.num_qubits + 1)
    circuit.append(operation, range(1, operation.num_qubits + 1))
    flat = flatten(circuit, LIMITS)
    assert {step.name for step in flat.data} <= KEPT
    assert all(step.is_standard_gate() or step.name in ("mcx", "mcphase", "unitary") for step in flat.data)
    assert np.allclose(Operator(flat).data, Operator(circuit).data)


def test_a_clifford_object() -> None:
    clifford = Clifford(library.iSwapGate())
    circuit = QuantumCircuit(2)
    circuit.append(clifford, [0, 1])
    flat = flatten(circuit, LIMITS)
    assert {step.name for step in flat.data} <= KEPT
    assert Operator(flat).equiv(clifford.to_operator())


def test_many_controls_stay_one_gate() -> None:
    circuit = QuantumCircuit(30)
    circuit.mcx(list(range(29)), 29)
    circuit.mcp(0.1, list(range(29)), 29)
    assert flatten(circuit, LIMITS) is circuit


def test_a_flat_circuit_is_given_back_as_it_is() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.barrier()
    circuit.measure([0, 1], [0, 1])
    assert flatten(circuit, LIMITS) is circuit


def test_state_preparation() -> None:
    circuit = QuantumCircuit(2)
    circuit.initialize([0.5, 0.5j, -0.5, 0.5])
    flat = flatten(circuit, LIMITS)
    assert {step.name for step in flat.data} <= KEPT
    assert [step.name for step in flat.data][:2] == ["reset", "reset"]


def test_loops_and_boxes_are_written_out_and_bodies_flattened() -> None:
    circuit = QuantumCircuit(3, 1)
    with circuit.for_loop(range(3)) as angle:
        circuit.rx(angle, 0)
        circuit.append(custom(), [0, 1, 2])
    with circuit.box():
        circuit.x(1)
    with circuit.if_test((0, 1)):
        circuit.append(custom(), [2, 1, 0])
    flat = flatten(circuit, LIMITS)
    assert [step.params for step in flat.data if step.name == "rx"] == [[0.0], [1.0], [2.0]]
    assert [step.name for step in flat.data if step.is_control_flow()] == ["if_else"]
    body = flat.data[-1].operation.blocks[0]
    assert {step.name for step in body.data} <= KEPT
    assert read(dump(circuit, Format.QPY)).facts.operations["if_else"] == 1


def test_a_loop_that_is_left_early_stays() -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(3)):
        circuit.h(0)
        circuit.measure(0, 0)
        with circuit.if_test((0, 1)):
            circuit.break_loop()
    assert [step.name for step in flatten(circuit, LIMITS).data] == ["for_loop"]


def test_an_opaque_gate_is_named() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(Gate("oracle", 2, []), [0, 1])
    with pytest.raises(CircuitError, match="'oracle' has no definition"):
        flatten(circuit, LIMITS)
