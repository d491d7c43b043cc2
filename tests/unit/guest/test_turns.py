from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from qvirt.errors import GaveUp, OutOfMemory, QvirtError
from qvirt.guest.turns import first_done
from qvirt.model.estimate import Candidate
from qvirt.model.run import Method, Precision

DIAGRAM = Candidate("dd", Method.DECISION_DIAGRAM, Precision.DOUBLE)
CHAIN = Candidate("mps", Method.MPS, Precision.DOUBLE)


@dataclass
class Program:
    """Done after so many turns, or raises at its first."""

    turns: int
    error: Exception | None = None
    seen: list[float] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        return len(self.seen) / self.turns

    def advance(self, seconds: float) -> bool:
        if self.error is not None:
            raise self.error
        self.seen.append(seconds)
        return len(self.seen) >= self.turns


def run(budget: float | None = None, **programs: Program) -> tuple[Candidate, list[float | None]]:
    told: list[float | None] = []
    by_name = {"diagram": DIAGRAM, "chain": CHAIN}
    prepare = {by_name[name]: lambda program=program: program for name, program in programs.items()}
    candidate, program = first_done(prepare, budget, lambda program: told.append(program.fraction))  # type: ignore[arg-type]
    assert program in programs.values()
    return candidate, told


def test_the_one_that_needs_fewer_turns_wins_and_none_starts_again() -> None:
    slow, fast = Program(100), Program(4)
    winner, told = run(diagram=slow, chain=fast)
    assert winner == CHAIN
    assert len(fast.seen) == 4
    assert len(slow.seen) <= 2, "the turns go to the one that will be done first"
    assert fast.seen == sorted(set(fast.seen)), "turns grow"
    assert told[0] == 0.01


def test_one_that_stands_still_gets_no_more_turns() -> None:
    class Stuck(Program):
        fraction = 0.5  # type: ignore[assignment]

    stuck, slow = Stuck(3), Program(50)
    assert run(diagram=stuck, chain=slow)[0] == CHAIN
    assert len(stuck.seen) == 1


def test_one_that_does_not_tell_its_progress_is_still_run() -> None:
    class Silent(Program):
        fraction = None  # type: ignore[assignment]

    assert run(diagram=Silent(3))[0] == DIAGRAM


def test_one_that_fails_leaves_the_turns_to_the_others() -> None:
    for error in (OutOfMemory("full"), GaveUp("no hope"), MemoryError(), RuntimeError("a panic")):
        assert run(diagram=Program(1, error), chain=Program(5))[0] == CHAIN


def test_when_all_fail_the_last_reason_is_told() -> None:
    with pytest.raises(OutOfMemory, match="full"):
        run(diagram=Program(1, GaveUp("no hope")), chain=Program(1, OutOfMemory("full")))


def test_the_budget_is_for_all_of_them_together() -> None:
    class Slow(Program):
        def advance(self, seconds: float) -> bool:
            time.sleep(0.01)
            return super().advance(seconds)

    first, second = Slow(1000), Slow(1000)
    with pytest.raises(GaveUp, match=r"were not done after 0\.05 s") as raised:
        run(budget=0.05, diagram=first, chain=second)
    assert isinstance(raised.value, QvirtError)
    assert 5 <= len(first.seen) + len(second.seen) <= 8
    assert max(first.seen) <= 0.05 / 4
