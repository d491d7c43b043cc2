from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from qvirt.errors import EngineFailed, OutOfMemory
from qvirt.guest import turns
from qvirt.guest.worker import Worker, _failure, _only_attempt
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate, Plan, Stage
from qvirt.model.run import Method, Precision

AER = Candidate("aer", Method.STATEVECTOR, Precision.DOUBLE)
ESTIMATE = Estimate(AER, 16, 1.0, 1.5, True, "")
FACTS = CircuitFacts.__new__(CircuitFacts)
SURE = Stage((ESTIMATE,), 2, None)
PLAN = Plan(FACTS, (SURE,), (), (), 1 << 30, 2, "", None)


def test_a_plan_with_one_way_only_is_carried_out_at_once() -> None:
    assert _only_attempt(PLAN) == AER


@pytest.mark.parametrize(
    "stages",
    [(), (SURE, SURE), (Stage((ESTIMATE, ESTIMATE), 1, None),), (Stage((ESTIMATE,), 2, 10.0),)],
    ids=["refused", "two stages", "side by side", "under a budget"],
)
def test_any_other_plan_is_for_the_guest_to_carry_out(stages: tuple[Stage, ...]) -> None:
    assert _only_attempt(replace(PLAN, stages=stages)) is None


def test_a_warm_up_says_nothing_however_slow_an_engine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said unasked would be taken for the answer to the next request."""

    class Channel:
        sent: ClassVar[list[object]] = []
        asked = staticmethod(lambda: False)
        send = sent.append

    monkeypatch.setattr(turns, "PROGRESS_SECONDS", 1e-6)
    Worker(Channel()).warm_up()  # type: ignore[arg-type]
    assert Channel.sent == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_memory_that_ran_out_is_told_with_the_limit(error: Exception) -> None:
    info = _failure(error, 3 << 30)
    assert info.code == OutOfMemory.code
    assert "3.00 GiB" in info.message


def test_any_other_error_of_an_engine_is_told_as_it_is() -> None:
    info = _failure(ValueError("no such gate"), 1)
    assert (info.code, info.message) == (EngineFailed.code, "ValueError: no such gate")
