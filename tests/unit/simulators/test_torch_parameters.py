"""Sweeps of parameter sets, against one circuit at a time."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import numpy as np
from numpy.random import default_rng
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector
from running import agree

from qvirt.errors import Unsupported, UsageError
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators.contract import Outcome
from qvirt.simulators.torch_statevector.parameters import ParameterSweep

OBSERVABLES = ("ZXYI", "0.5*IZZX - 2*ZIII")
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


def swept(values: np.ndarray, limits: Limits = LARGE, **options: object) -> list[Outcome]:
    asked = RunOptions(**({"shots": 2000, "seed": 3} | options))  # type: ignore[arg-type]
    sweep = ParameterSweep(ansatz(), values, asked, limits)
    while not sweep.advance(0.0):
        assert 0 < sweep.fraction < 1
    return sweep.outcomes


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
    with pytest.raises(UsageError, match="3 parameters"):
        swept(np.zeros((4, 2)))
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.rx(Parameter("a"), 0)
    with pytest.raises(Unsupported, match="at its end"):
        ParameterSweep(circuit, np.zeros((1, 1)), RunOptions(), LARGE)
