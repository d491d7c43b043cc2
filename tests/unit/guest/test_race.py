"""What a race asks its workers, which here answer as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from qvirt.circuits import load
from qvirt.errors import GaveUp
from qvirt.guest.messages import Attempt, Done, Failed, Planned, Reply, Request, Work
from qvirt.guest.race import Race
from qvirt.guest.track import Track
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate, Estimate, Plan, Stage
from qvirt.model.result import Result, Timings
from qvirt.model.run import Device, Limits, Method, Precision, RunOptions

SOURCE = CircuitSource("x.qasm", b"OPENQASM 2.0;\nqreg q[2];\n")
GIVEN = Limits(1000, threads=4, slowdown=40.0, devices=(Device("cuda:0", 1, 1.0, 1e-5, 3.0, 1, triton=True),))


def _estimate(method: Method) -> Estimate:
    return Estimate(Candidate("aer", method, Precision.DOUBLE), 0, 1.0, 1.0, certain=False, reason="")


MPS, DIAGRAM, VECTOR = map(_estimate, (Method.MPS, Method.DECISION_DIAGRAM, Method.STATEVECTOR))


def _done(estimate: Estimate) -> Done:
    return Done(Result(1, 1, {"00": 1}, estimate.candidate, 1, 2, 2, True, Timings(0, 0, 0, 0), 0, ()), 0.1)


class Workers:
    """In the place of a Pool: as many as are wanted, of which one method alone has an answer."""

    has_warm = True

    def __init__(self, plan: Plan, able: Estimate) -> None:
        self.asked: list[Request] = []
        self._plan = plan
        self._able = able

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Workers]:
        yield self

    async def ask(self, request: Request) -> None:
        self.asked.append(request)

    async def reply(self) -> Reply:
        return Planned(self._plan, 0.0, 0.0, goes_on=False)

    async def final(self, *_: object) -> Reply:
        if self._attempts[-1].candidates == (self._able.candidate,):
            return _done(self._able)
        return Failed(GaveUp("told to").info())

    def prepare_another(self) -> None:
        """There always is one."""

    @property
    def _attempts(self) -> list[Attempt]:
        return [each for each in self.asked if isinstance(each, Attempt)]


def _plan(*stages: Stage) -> Plan:
    return Plan(load(SOURCE).facts, stages, (), (), GIVEN.memory, GIVEN.threads, "told", None)


def _limits_of_attempts(workers: Workers) -> list[Limits]:
    race = Race(workers, Work(SOURCE, RunOptions(), GIVEN), Track(0.0), lambda: None)  # type: ignore[arg-type]
    assert asyncio.run(race.run()).counts == {"00": 1}
    return [each.work.limits for each in workers.asked if isinstance(each, Attempt)]


def test_an_attempt_has_the_limits_of_the_run_but_for_its_share_of_them() -> None:
    workers = Workers(_plan(Stage((MPS, DIAGRAM), 2, 0.1), Stage((VECTOR,), 4, None)), VECTOR)
    share = replace(GIVEN, memory=500, threads=2, seconds=0.1)
    assert _limits_of_attempts(workers) == [share, share, GIVEN]


def test_methods_in_turns_share_one_worker_with_all_of_the_memory() -> None:
    turns = Stage((MPS, DIAGRAM), 4, 0.1, in_turns=True)
    workers = Workers(_plan(turns, Stage((VECTOR,), 4, None)), VECTOR)
    assert _limits_of_attempts(workers) == [replace(GIVEN, seconds=0.1), GIVEN]
