"""Which measurements of a dynamic circuit need no branches."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit.classical import expr, types

from qvirt.simulators.branching import without_last_readings


def _measurements(circuit: QuantumCircuit) -> int:
    return int(circuit.count_ops().get("measure", 0))


def test_measurements_that_nothing_follows_are_the_last() -> None:
    circuit = QuantumCircuit(4, 4, global_phase=0.5)
    circuit.h(0)
    circuit.measure(0, 3)
    circuit.measure(1, 1)
    circuit.barrier()
    circuit.x(1)
    circuit.measure(2, 2)
    with circuit.if_test((circuit.clbits[2], 1)):
        circuit.x(3)
    circuit.measure(3, 0)
    circuit.measure(2, 2)
    rest, clbit_of = without_last_readings(circuit)
    assert clbit_of == {3: 0, 0: 3, 2: 2}
    assert [step.name for step in rest.data] == ["h", "measure", "x", "measure", "if_else"]
    assert rest.global_phase == circuit.global_phase
    assert rest.cregs == circuit.cregs


def test_of_two_last_readings_into_one_clbit_the_second_stays() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    assert without_last_readings(circuit).clbit_of == {0: 1}


def test_a_reading_before_another_that_must_stay_is_not_moved_behind_it() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    circuit.x(1)
    rest, clbit_of = without_last_readings(circuit)
    assert not clbit_of
    assert _measurements(rest) == 2


def test_with_variables_every_reading_stays() -> None:
    circuit = QuantumCircuit(2, 2)
    variable = circuit.add_var("kept", expr.lift(False, types.Bool()))
    circuit.measure(0, 0)
    circuit.store(variable, expr.lift(circuit.clbits[0]))
    with circuit.if_test(expr.lift(variable)):
        circuit.x(1)
    circuit.measure(1, 1)
    rest, clbit_of = without_last_readings(circuit)
    assert not clbit_of
    assert _measurements(rest) == 2
