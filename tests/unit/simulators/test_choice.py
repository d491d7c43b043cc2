"""The choice as a decision: engines whose costs are given, so that each rule can be seen alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from qvirt.errors import UsageError
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitFacts, Format
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators import choice

SINGLE, DOUBLE = Precision.SINGLE, Precision.DOUBLE
LIMITS = Limits(memory=1 << 30, threads=2)
FACTS = CircuitFacts(
    format=Format.OPENQASM2,
    num_qubits=20,
    num_clbits=20,
    depth=10,
    operations={"h": 20, "measure": 20},
    size=40,
    one_qubit_gates=20,
    two_qubit_gates=0,
    larger_gates=0,
    diagonal_gates=0,
    measurements=20,
    resets=0,
    conditionals=0,
    control_flow=False,
    clifford_gates=20,
    components=(tuple(range(20)),),
    passes=5,
    windows=1,
    support_bits=5,
    bond_bits=10.0,
    bond_cost=100.0,
    terminal_measurements=True,
    measured_all_added=False,
)


@dataclass
class Engine:
    """A simulator that only says what it would cost."""

    name: str
    method: Method = Method.STATEVECTOR
    precision: Precision = SINGLE
    seconds: float = 1.0
    memory: int = 1 << 20
    certain: bool = True
    error: float = 1.5
    stops_by_itself: frozenset[Method] = frozenset()
    refuses: str | None = None
    installed: bool = True
    seen: list[object] = field(default_factory=list)

    def version(self) -> str | None:
        return "1" if self.installed else None

    def candidates(self) -> tuple[Candidate, ...]:
        return (Candidate(self.name, self.method, self.precision),)

    def supports(self, *_: object) -> str | None:
        return self.refuses

    def constants(self, _: Candidate) -> dict[str, float]:
        return {"shipped": 1.0}

    def estimate(self, candidate: Candidate, *more: object) -> Estimate:
        self.seen.append(more[-1])
        return Estimate(candidate, self.memory, self.seconds, self.error, self.certain, "because")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def use(*made: Engine) -> None:
        found = {engine.name: engine for engine in made}
        monkeypatch.setattr(choice, "simulators", lambda: found)
        monkeypatch.setattr(choice, "simulator", found.__getitem__)
        monkeypatch.setattr(choice, "installed", lambda name: found[name].installed)

    return use


def order(options: RunOptions = RunOptions(), limits: Limits = LIMITS) -> list[list[str]]:
    plan = choice.plan(FACTS, options, limits)
    return [[attempt.candidate.engine for attempt in stage.attempts] for stage in plan.stages]


def test_a_machine_that_is_slow_is_predicted_as_that(engines) -> None:  # type: ignore[no-untyped-def]
    """By what was measured in it, where that is known; nothing else changes in the choice."""
    engines(Engine("slow", seconds=0.02), Engine("fast", seconds=0.001))
    slow = Limits(LIMITS.memory, LIMITS.threads, slowdown=40.0)
    plan = choice.plan(FACTS, RunOptions(), slow)
    assert [e.candidate.engine for stage in plan.stages for e in stage.attempts] == ["fast"]
    assert plan.stages[0].attempts[0].seconds == pytest.approx(0.04)
    key = "fast/statevector/single"
    measured = Calibration("here", {}, 2, 0.0, {key: {"fitted": 2.0}}, {key: 1.1})
    estimates, _ = choice.survey(FACTS, RunOptions(), slow, measured)
    assert {e.candidate.engine: e.seconds for e in estimates} == {"slow": pytest.approx(0.8), "fast": 0.001}


def test_the_fastest_certain_one_is_chosen(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("slow", seconds=0.02), Engine("fast", seconds=0.001))
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    assert [[e.candidate.engine for e in stage.attempts] for stage in plan.stages] == [["fast"]]
    assert [e.candidate.engine for e in plan.runners_up] == ["slow"]
    assert plan.stages[0].budget is None


def test_what_cannot_or_does_not_fit_is_rejected_with_its_reason(engines) -> None:  # type: ignore[no-untyped-def]
    engines(
        Engine("refuses", refuses="not a Clifford circuit"),
        Engine("absent", installed=False),
        Engine("huge", memory=1 << 40),
        Engine("fits", seconds=5),
    )
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    reasons = {rejection.candidate.engine: rejection.reason for rejection in plan.rejected}
    assert reasons["refuses"] == "not a Clifford circuit"
    assert "not installed" in reasons["absent"]
    assert "1.00 TiB" in reasons["huge"]
    assert "1.00 GiB" in reasons["huge"]
    assert plan.stages[-1].attempts[0].candidate.engine == "fits"


def test_a_gamble_goes_first_under_a_share_of_the_safe_time(engines) -> None:  # type: ignore[no-untyped-def]
    gamble = Engine(
        "dd", Method.DECISION_DIAGRAM, DOUBLE, 0.01, certain=False, stops_by_itself=frozenset(Method)
    )
    engines(Engine("dense", seconds=3.0), gamble)
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    first, last = plan.stages
    assert (first.attempts[0].candidate.engine, last.attempts[0].candidate.engine) == ("dd", "dense")
    assert first.budget is not None
    assert 0 < first.budget <= 0.3 * 3.0
    assert last.budget is None


def test_no_gamble_costs_more_than_three_tenths_of_the_least_that_the_safe_one_takes(engines) -> None:  # type: ignore[no-untyped-def]
    for seconds in (0.001, 0.1, 1.0, 10.0, 1000.0):
        engines(
            Engine("dense", seconds=seconds),
            Engine(
                "dd", Method.DECISION_DIAGRAM, DOUBLE, 1e-4, certain=False, stops_by_itself=frozenset(Method)
            ),
            Engine("mps", Method.MPS, DOUBLE, 1e-4, certain=False, stops_by_itself=frozenset(Method)),
        )
        plan = choice.plan(FACTS, RunOptions(), LIMITS)
        least = seconds / plan.stages[-1].attempts[0].error
        assert sum(stage.budget or 0 for stage in plan.stages) <= 0.3 * least < 0.3 * seconds
        assert plan.stages[-1].attempts[0].candidate.engine == "dense"


def test_gambles_take_turns_and_one_that_must_be_killed_is_left_out(engines) -> None:  # type: ignore[no-untyped-def]
    stops = frozenset(Method)
    engines(
        Engine("dense", seconds=3.0),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.02, certain=False, stops_by_itself=stops),
        Engine("mps", Method.MPS, DOUBLE, 0.01, certain=False, stops_by_itself=stops),
        Engine("wild", Method.EXTENDED_STABILIZER, DOUBLE, 0.01, certain=False),
    )
    assert order() == [["mps", "dd"], ["dense"]]
    assert choice.plan(FACTS, RunOptions(), LIMITS).stages[0].in_turns


def test_gambles_whose_least_times_do_not_fit_together_are_left_out(engines) -> None:  # type: ignore[no-untyped-def]
    stops = frozenset(Method)
    engines(
        Engine("dense", seconds=1.0),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.1, certain=False, stops_by_itself=stops),
        Engine("mps", Method.MPS, DOUBLE, 0.2, certain=False, stops_by_itself=stops),
    )
    assert order() == [["dd"], ["dense"]]


def test_gambles_get_half_the_time_where_the_safe_one_will_hardly_end(engines) -> None:  # type: ignore[no-untyped-def]
    stops = frozenset(Method)
    engines(
        Engine("dense", seconds=12.0),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.02, certain=False, stops_by_itself=stops),
    )
    assert choice.plan(FACTS, RunOptions(time_limit=10.0), LIMITS).stages[0].budget == 5.0
    budget = choice.plan(FACTS, RunOptions(time_limit=20.0), LIMITS).stages[0].budget
    assert budget == pytest.approx(0.27 * 12.0 / 1.5**0.78)


def test_without_a_safe_one_gambles_that_stop_take_turns_first(engines) -> None:  # type: ignore[no-untyped-def]
    stops = frozenset(Method)
    engines(
        Engine("dense", memory=1 << 40),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.02, certain=False, stops_by_itself=stops),
        Engine("mps", Method.MPS, DOUBLE, 0.01, certain=False, stops_by_itself=stops),
    )
    first, last = choice.plan(FACTS, RunOptions(), LIMITS).stages
    assert (first.in_turns, first.budget) == (True, choice.FIRST_LOOK)
    assert (last.in_turns, last.budget, last.threads) == (False, choice.LAST_RESORT_SECONDS, 1)
    assert choice.plan(FACTS, RunOptions(time_limit=0.4), LIMITS).stages[0].budget == pytest.approx(0.1)


def test_of_two_of_about_the_same_time_the_surer_one_is_chosen(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("unsure", seconds=1.0, error=2.7), Engine("sure", seconds=1.1, error=1.1))
    assert order() == [["sure"]]
    engines(Engine("unsure", seconds=1.0, error=2.7), Engine("sure", seconds=2.0, error=1.1))
    assert order() == [["unsure"]]


def test_short_circuits_are_not_raced(engines) -> None:  # type: ignore[no-untyped-def]
    engines(
        Engine("dense", seconds=0.01),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 1e-5, certain=False, stops_by_itself=frozenset(Method)),
    )
    assert order() == [["dense"]]


def test_without_a_safe_one_gambles_run_side_by_side_for_a_stated_time(engines) -> None:  # type: ignore[no-untyped-def]
    engines(
        Engine("dense", memory=1 << 40),
        Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, certain=False),
        Engine("mps", Method.MPS, DOUBLE, certain=False),
    )
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    (stage,) = plan.stages
    assert {attempt.candidate.engine for attempt in stage.attempts} == {"dd", "mps"}
    assert (stage.threads, stage.budget) == (1, choice.LAST_RESORT_SECONDS)
    assert "no method surely fits" in plan.reason
    assert choice.plan(FACTS, RunOptions(time_limit=3.0), LIMITS).stages[0].budget == 3.0


def test_nothing_that_fits_is_refused_with_the_numbers(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("dense", memory=16 << 30))
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    assert plan.stages == ()
    assert plan.refusal is not None
    assert (plan.refusal.code, "16.0 GiB" in plan.refusal.message) == ("does_not_fit", True)
    assert "none like it fits in 1.00 GiB" in (plan.refusal.hint or "")


def test_the_nearest_that_fits_is_told_with_what_its_engine_takes(engines) -> None:  # type: ignore[no-untyped-def]
    class Dense(Engine):
        def estimate(self, candidate: Candidate, *more: object) -> Estimate:
            (facts, *_) = more
            assert isinstance(facts, CircuitFacts)
            memory = (8 << facts.num_qubits) + (1 << 20)
            return Estimate(candidate, memory, 1.0, 1.5, certain=True, reason="because")

    engines(Dense("dense"))
    plan = choice.plan(FACTS, RunOptions(), Limits(memory=4 << 20, threads=2))
    assert plan.refusal is not None
    assert "9.00 MiB" in plan.refusal.message
    assert "up to 18 qubits fits in 4.00 MiB" in (plan.refusal.hint or "")


def test_exact_values_are_not_computed_in_single_precision_unasked(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("single", seconds=0.001), Engine("double", precision=DOUBLE, seconds=0.02))
    exact = RunOptions(observables=("Z" * 20,))
    assert order() == [["single"]]
    assert order(exact) == [["double"]]
    assert order(RunOptions(observables=exact.observables, precision=SINGLE)) == [["single"]]


def test_what_was_asked_for_is_what_is_used(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("a", seconds=0.001), Engine("b", Method.MPS, DOUBLE, 0.02))
    assert order(RunOptions(engine="b")) == [["b"]]
    assert order(RunOptions(method=Method.MPS)) == [["b"]]
    assert order(RunOptions(precision=DOUBLE)) == [["b"]]
    assert order(RunOptions(engine="a", method=Method.MPS)) == []


def test_what_no_engine_can_do_is_not_said_to_be_too_large(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("a", refuses="not a Clifford circuit"))
    plan = choice.plan(FACTS, RunOptions(), LIMITS)
    assert plan.refusal is not None
    assert (plan.refusal.code, "not a Clifford" in plan.refusal.message) == ("unsupported", True)
    with pytest.raises(UsageError, match="ZZ"):
        choice.plan(FACTS, RunOptions(observables=("ZZ",)), LIMITS)


def test_approximate_methods_are_used_only_when_asked_for(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("e", Method.EXTENDED_STABILIZER, seconds=0.001), Engine("dense", seconds=0.02))
    assert order() == [["dense"]]
    assert order(RunOptions(method=Method.EXTENDED_STABILIZER)) == [["e"]]


def test_calibrated_constants_are_used_where_there_are_any(engines) -> None:  # type: ignore[no-untyped-def]
    known, unknown = Engine("known"), Engine("unknown")
    engines(known, unknown)
    calibration = Calibration(
        "here", {}, 2, 0.0, {"known/statevector/single": {"measured": 2.0}}, {"known/statevector/single": 1.2}
    )
    choice.plan(FACTS, RunOptions(), LIMITS, calibration)
    assert known.seen == [{"measured": 2.0}]
    assert unknown.seen == [{"shipped": 1.0}]


def test_independent_parts_are_run_one_by_one_where_that_is_faster(engines) -> None:  # type: ignore[no-untyped-def]
    engines(Engine("dense", seconds=5.0, memory=1 << 40), Engine("small", seconds=0.01, refuses=None))
    plan = choice.plan(FACTS, RunOptions(engine=None), LIMITS, parts=(FACTS, FACTS))
    chosen = plan.stages[-1].attempts[0]
    assert chosen.candidate.engine == "small"
    engines(Engine("dense", seconds=5.0))
    plan = choice.plan(FACTS, RunOptions(), LIMITS, parts=(FACTS, FACTS))
    assert {e.candidate.method for e in plan.runners_up} | {
        e.candidate.method for s in plan.stages for e in s.attempts
    } == {Method.STATEVECTOR, Method.SPLIT}


def test_a_race_is_waited_for_as_long_as_a_kill_would_cost(engines) -> None:  # type: ignore[no-untyped-def]
    stops = frozenset(Method)
    late = Engine("late", seconds=2.0)
    engines(late, Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.02, certain=False, stops_by_itself=stops))
    assert [stage.reload for stage in choice.plan(FACTS, RunOptions(), LIMITS).stages] == [0.0, 0.0]
    late.load_seconds = 1.5  # type: ignore[attr-defined]
    assert [stage.reload for stage in choice.plan(FACTS, RunOptions(), LIMITS).stages] == [1.5, 0.0]


def test_an_engine_that_loads_late_must_be_worth_loading_it_again_after_a_race(engines) -> None:  # type: ignore[no-untyped-def]
    late, soon = Engine("late", seconds=1.0), Engine("soon", seconds=1.05)
    late.load_seconds = 2.0  # type: ignore[attr-defined]
    gamble = Engine("dd", Method.DECISION_DIAGRAM, DOUBLE, 0.02, certain=False)
    engines(late, soon)
    assert order() == [["late"]]
    engines(late, soon, gamble)
    assert order() == [["soon"]]
    soon.seconds = 1.2
    assert order() == [["late"]]
