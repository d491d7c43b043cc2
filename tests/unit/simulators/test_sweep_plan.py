"""What is planned for many parameter sets, and sets that are run one after another."""

from __future__ import annotations

import math

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qvirt.circuits import analyse
from qvirt.errors import DoesNotFit, ErrorInfo, Unsupported, UsageError, from_info
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.simulators import choice
from qvirt.simulators.sweep import plan, prepare
from qvirt.simulators.workload import Workload

LIMITS = Limits(1 << 30, 1)
AER = Candidate("aer", Method.STATEVECTOR, Precision.DOUBLE)


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(3)
    made.rx(Parameter("a"), 0)
    made.cx(0, 1)
    made.cx(1, 2)
    made.measure_all()
    return made


FACTS = analyse(circuit(), Format.QPY)


def work(made: QuantumCircuit, *values: float) -> Workload:
    sweep = Sweep(("a",), tuple((value,) for value in values))
    return Workload(made, analyse(made, Format.QPY), RunOptions(shots=100, seed=1), sweep=sweep)


def test_one_way_for_all_sets_and_its_cost() -> None:
    asked = RunOptions(engine="aer", method=Method.STATEVECTOR, precision=Precision.DOUBLE)
    (stage,) = plan(FACTS, asked, LIMITS, None, 50).stages
    (single,) = choice.plan(FACTS, asked, LIMITS, None).stages
    assert stage.budget is None
    assert stage.attempts[0].candidate == AER
    assert stage.attempts[0].seconds > 50 * single.attempts[0].seconds
    assert stage.attempts[0].memory > single.attempts[0].memory


def test_no_method_is_taken_that_only_some_sets_allow() -> None:
    asked = RunOptions(method=Method.STABILIZER)
    with pytest.raises(Unsupported, match="Clifford"):
        refused(plan(FACTS, asked, LIMITS, None, 2).refusal)


def refused(info: object) -> None:
    assert isinstance(info, ErrorInfo)
    raise from_info(info)


def test_a_method_of_unknown_cost_is_taken_where_it_is_asked_for() -> None:
    (stage,) = plan(FACTS, RunOptions(method=Method.DECISION_DIAGRAM), LIMITS, None, 5).stages
    assert [each.candidate.method for each in stage.attempts] == [Method.DECISION_DIAGRAM]
    assert stage.budget is None


def test_outcomes_that_do_not_fit_are_refused() -> None:
    asked = RunOptions(shots=1 << 20, engine="aer")
    wide = QuantumCircuit(20)
    wide.rx(Parameter("a"), range(20))
    wide.measure_all()
    found = plan(analyse(wide, Format.QPY), asked, LIMITS, None, 1000)
    assert found.stages == ()
    with pytest.raises(DoesNotFit, match="1,000 rows does not fit"):
        refused(found.refusal)


@pytest.mark.parametrize("more", ["state", "probabilities", "per_shot_memory"])
def test_what_a_sweep_does_not_give(more: str) -> None:
    with pytest.raises(UsageError, match="counts and expectation values only"):
        plan(FACTS, RunOptions(**{more: True}), LIMITS, None, 2)


def test_rows_one_after_another_go_on_where_they_were() -> None:
    program = prepare(AER, work(circuit(), 0.0, math.pi, 0.0), LIMITS)
    assert (program.fraction, program.position.rows) == (0.0, 3)
    while not program.advance(0.0):
        assert 0 < program.position.rows_done <= 3
    assert [dict(row.counts) for row in program.result().rows] == [{0: 100}, {7: 100}, {0: 100}]
    with pytest.raises(Unsupported, match="cannot be saved"):
        program.checkpoint()


def test_an_angle_without_a_value_names_its_row() -> None:
    made = QuantumCircuit(1)
    made.rx(1 / Parameter("a"), 0)
    made.measure_all()
    program = prepare(AER, work(made, 1.0, 0.0), LIMITS)
    with pytest.raises(UsageError, match="row 2 of the sweep"):
        while not program.advance(1.0):
            pass
