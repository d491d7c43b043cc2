"""Programs of one circuit that take turns in one process until one of them is done.

Nobody can tell which of several methods suits a circuit, and a second process would take longer to start
than a small circuit to run. No turn is lost: a program goes on where it was. The next turn goes to the one
that at its last pace would be done first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qvirt.errors import GaveUp
from qvirt.model.estimate import Candidate

if TYPE_CHECKING:
    from qvirt.simulators.contract import Program

PROGRESS_SECONDS = 0.2
"""How long a program may work before it is heard of."""

FIRST_TURN = 0.008
"""Seconds; every further turn of a program is twice as long as its last."""


class _Runner:
    def __init__(self, candidate: Candidate, prepare: Callable[[], Program], turn: float) -> None:
        self.candidate = candidate
        self.left = 0.0
        """Seconds that it would take at its last pace; one that has not begun goes first."""
        self.program: Program | None = None
        self._prepare = prepare
        self._turn = turn

    def take_turn(self, longest: float) -> bool:
        """True when it is done. Raises what its program raises."""
        began = time.perf_counter()
        if self.program is None:
            self.program = self._prepare()
        before = self.program.fraction or 0.0
        done = self.program.advance(min(self._turn, longest))
        progress = (self.program.fraction or 0.0) - before
        taken = time.perf_counter() - began
        self.left = (1.0 - before - progress) * taken / progress if progress > 0 else math.inf
        self._turn *= 2
        return done


def first_done(
    prepare: Mapping[Candidate, Callable[[], Program]],
    budget: float | None,
    between: Callable[[Program], None],
) -> tuple[Candidate, Program]:
    """The program that is done first. ``budget`` is seconds for all of them.

    ``between`` is called after every turn with the program that had it, and may ask it what it likes.

    Raises GaveUp when the budget is spent; where all have failed, what the last of them raised.
    """
    started = time.perf_counter()
    turn = FIRST_TURN if len(prepare) > 1 else PROGRESS_SECONDS
    runners = [_Runner(candidate, make, turn) for candidate, make in prepare.items()]
    longest = PROGRESS_SECONDS if budget is None else min(PROGRESS_SECONDS, budget / 8)
    while True:
        runner = min(runners, key=lambda each: each.left)
        try:
            done = runner.take_turn(longest)
        except Exception:
            runners.remove(runner)
            if not runners:
                raise
            continue
        assert runner.program is not None  # noqa: S101
        if done:
            return runner.candidate, runner.program
        if budget is not None and time.perf_counter() - started > budget:
            names = " and ".join(map(str, prepare))
            raise GaveUp(f"{names} {'were' if len(prepare) > 1 else 'was'} not done after {budget:.3g} s")
        between(runner.program)
