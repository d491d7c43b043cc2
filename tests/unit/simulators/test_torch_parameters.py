"""Sweeps of parameter sets, against one circuit at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import numpy as np
from numpy.random import default_rng
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector
from running import agree

from qvirt.circuits import analyse
from qvirt.errors import Unsupported, UsageError
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Noise, Precision, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.simulators.contract import Outcome
from qvirt.simulators.torch_statevector import cost
from qvirt.simulators.torch_statevector.parameters import ParameterSweep
from qvirt.simulators.workload import Workload

OBSERVABLES = ("ZXYI", "0.5*IZZX - 2*ZIII")
METHODS = (Method.STATEVECTOR, Method.DENSITY_MATRIX)
LARGE, SMALL = Limits(1 << 30, 1), Limits(1, 1)


def ansatz() -> QuantumCircuit:
    """Parameters alone, in sums and in products, in gates of one to three angles, with controls."""
    a, b, c = Parameter("a"), Parameter("b"), Parameter("c")
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.u(a, b, c, 0)
    circuit.rz(0.3, 0)
    circuit.cp(a + 2 * b, 0, 1)
    circuit.crx(a * b, 1, 2)
    circuit.rzz(c, 0, 3)
    circuit.cu(a, b, c, a - b, 3, 0)
    circuit.mcp(c, [0, 1, 2], 3)
    circuit.swap(0, 2)
    circuit.r(a, b, 1)
    circuit.rzx(a, 0, 3)
    circuit.measure_all()
    return circuit


def work(circuit: QuantumCircuit, values: np.ndarray, **options: object) -> Workload:
    asked = RunOptions(**({"shots": 2000, "seed": 3} | options))  # type: ignore[arg-type]
    names = tuple(parameter.name for parameter in circuit.parameters)
    sweep = Sweep(names, tuple(map(tuple, values.tolist())))
    return Workload(circuit, analyse(circuit, Format.QPY), asked, sweep=sweep)


def swept(values: np.ndarray, limits: Limits = LARGE, **options: object) -> tuple[Outcome, ...]:
    sweep = ParameterSweep(work(ansatz(), values, **options), limits)
    done = 0
    while not sweep.advance(0.0):
        assert done < sweep.position.rows_done < sweep.position.rows == len(values)
        done = sweep.position.rows_done
    return sweep.result().rows


def test_every_row_is_as_it_is_alone() -> None:
    values = default_rng(2).uniform(-7, 7, (9, 3))
    values[0] = 0
    outcomes = swept(values, observables=OBSERVABLES)
    bare = ansatz().remove_final_measurements(inplace=False)
    for row, outcome in zip(values, outcomes, strict=True):
        exact = Statevector(bare.assign_parameters(row))
        first, second = (mean.value for mean in outcome.expectations)
        assert first == pytest.approx(exact.expectation_value(SparsePauliOp("ZXYI")).real)
        sums = SparsePauliOp(["IZZX", "ZIII"], [0.5, -2])
        assert second == pytest.approx(exact.expectation_value(sums).real)
        chances = exact.probabilities()
        chances[chances < 1e-12] = 0
        assert agree(dict(outcome.counts), chances)


def test_shots_do_not_depend_on_how_many_rows_fit() -> None:
    values = default_rng(4).uniform(-3, 3, (5, 3))
    assert swept(values) == swept(values, SMALL)
    assert [o.counts for o in swept(values, seed=4)] != [o.counts for o in swept(values)]


def test_wrong_sweeps_are_refused() -> None:
    with pytest.raises(Unsupported, match="noise"):
        swept(np.zeros((1, 3)), noise=Noise(depolarizing_1q=0.1))
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.rx(Parameter("a"), 0)
    with pytest.raises(Unsupported, match="at its end"):
        ParameterSweep(work(circuit, np.zeros((1, 1))), LARGE)


def test_values_go_to_the_parameters_of_their_names() -> None:
    values = default_rng(6).uniform(-3, 3, (4, 3))
    asked = work(ansatz(), values)
    turned = Sweep(asked.sweep.names[::-1], tuple(row[::-1] for row in asked.sweep.rows))
    sweep = ParameterSweep(replace(asked, sweep=turned), LARGE)
    assert sweep.advance(1.0)
    assert sweep.result().rows == swept(values)


def test_an_angle_without_a_value_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(1 / Parameter("a"), 0)
    circuit.measure_all()
    with pytest.raises(UsageError, match="1/a"):
        ParameterSweep(work(circuit, np.zeros((1, 1))), LARGE).advance(1.0)


def test_many_at_a_time_only_where_that_is_exact_and_faster() -> None:
    facts = analyse(ansatz(), Format.QPY)
    double, density = (Candidate("torch", each, Precision.DOUBLE) for each in METHODS)
    assert cost.sweeps(double, facts, RunOptions())
    assert cost.sweeps(double, facts, RunOptions(noise=Noise(readout_0to1=0.1)))
    assert not cost.sweeps(double, facts, RunOptions(noise=Noise(depolarizing_1q=0.1)))
    assert not cost.sweeps(double, replace(facts, num_qubits=20), RunOptions())
    assert not cost.sweeps(double, replace(facts, terminal_measurements=False), RunOptions())
    assert not cost.sweeps(density, facts, RunOptions())
    assert not cost.sweeps(Candidate("torch", METHODS[0], Precision.HALF), facts, RunOptions())
