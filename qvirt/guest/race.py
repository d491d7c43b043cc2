"""Carries out a plan: stage after stage, the attempts of a stage side by side, the first answer wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec

from qvirt.errors import Conflict, DoesNotFit, ErrorInfo, GaveUp, QvirtError, from_info
from qvirt.guest.messages import Attempt, Choose, Done, Planned, Work, expect
from qvirt.guest.process import WorkerProcess
from qvirt.guest.track import Track
from qvirt.guest.workers import Pool
from qvirt.model.estimate import Estimate, Plan, Stage
from qvirt.model.result import AttemptRecord, Result, Timings
from qvirt.model.run import Precision
from qvirt.units import show_bytes, show_seconds

WORKER_START = 0.4
"""Seconds that a new worker takes about. A shorter budget is not worth one."""

GRACE = 0.3
"""Seconds over its budget in which an engine that stops by itself may say so, and keep its worker: to kill
it costs a new worker, which takes about twice as long."""

SHORT_GRACE = 0.003
"""The same where a warm worker waits to go on, beside a twentieth of the budget."""


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt that has come to its end: with a result or with an error."""

    estimate: Estimate
    seconds: float
    result: Result | None = None
    error: ErrorInfo | None = None

    def record(self) -> AttemptRecord:
        if self.error is None:
            return AttemptRecord(self.estimate.candidate, self.seconds, "done")
        outcome = "over_budget" if self.error.code == GaveUp.code else "failed"
        return AttemptRecord(self.estimate.candidate, self.seconds, outcome, self.error.message)


class Race:
    """One circuit, from its source to its result. Cancelling ``run`` ends every process at work on it."""

    def __init__(
        self,
        pool: Pool,
        work: Work,
        track: Track,
        begin: Callable[[], None],
        fetched: Callable[[], Awaitable[bytes | bytearray]] | None = None,
    ) -> None:
        """``begin`` is called when a worker is there and the run begins; ``fetched`` gives the checkpoint
        that it goes on from."""
        self._pool = pool
        self._work = work
        self._track = track
        self._begin = begin
        self._fetched = fetched
        self._tries: list[Try] = []
        self._lost: list[AttemptRecord] = []
        self._alone: WorkerProcess | None = None
        """At work on the one attempt that is left."""

    async def run(self) -> Result:
        """Raises what was wrong with the circuit or with the last engine that was tried."""
        planned = await self._choose()
        for stage in () if planned.goes_on else planned.plan.stages:
            await self._stage(stage)
            if self._winner() is not None:
                break
        winner = self._winner()
        if winner is None or winner.result is None:
            raise self._no_answer(planned.plan)
        timings = Timings(
            parse=planned.parse,
            plan=planned.seconds,
            simulate=winner.seconds,
            total=time.monotonic() - self._track.arrived,
        )
        attempts = (*(one.record() for one in self._tries), *self._lost)
        return replace(winner.result, timings=timings, attempts=attempts)

    def save(self) -> AsyncGenerator[memoryview, None]:
        """Where it stands, as a file's octets. Raises Conflict while there is no one run to save."""
        if self._alone is None:
            raise Conflict(
                f"there is no run to save yet: {self._track.phase}",
                hint="wait until one method is left, or choose one with --method",
            )
        return self._alone.save()

    def _winner(self) -> Try | None:
        return next((one for one in self._tries if one.result is not None), None)

    async def _choose(self) -> Planned:
        """The plan; where there is one way only, the worker goes straight on with it."""
        async with self._pool.worker() as worker:
            await worker.ask(Choose(self._work, go_on=True))
            self._begin()
            planned = await plan_of(worker, self._track)
            if planned.plan.refusal is not None:
                raise from_info(planned.plan.refusal)
            if planned.goes_on:
                await self._follow(worker, planned.plan.stages[0].attempts, None)
            return planned

    async def _stage(self, stage: Stage) -> None:
        """Until one attempt has answered or all have failed; those that are late then are killed."""
        if stage.in_turns:
            await self._attempt(stage.attempts, stage)
            return
        running = {asyncio.ensure_future(self._attempt((each,), stage)): each for each in stage.attempts}
        began = time.monotonic()
        pending = set(running)
        try:
            while pending and self._winner() is None:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        seconds = time.monotonic() - began
        self._lost += [AttemptRecord(running[task].candidate, seconds, "lost_race") for task in pending]

    async def _attempt(self, estimates: tuple[Estimate, ...], stage: Stage) -> None:
        workers = len(stage.attempts) // len(estimates)
        given = self._work.limits
        limits = replace(given, memory=given.memory // workers, threads=stage.threads, seconds=stage.budget)
        work = msgspec.structs.replace(self._work, limits=limits)
        began = time.monotonic()
        try:
            async with self._pool.worker() as worker:
                await worker.ask(Attempt(work, tuple(each.candidate for each in estimates)))
                began = time.monotonic()
                with self._another_ready_after(stage.budget):
                    await self._follow(worker, estimates, self._patience(stage))
        except asyncio.TimeoutError:
            error = GaveUp(f"stopped at its budget of {show_seconds(stage.budget or 0)}")
            self._end(estimates, began, error.info())

    @contextmanager
    def _another_ready_after(self, budget: float | None) -> Iterator[None]:
        """Have a worker warm when a budget ends, in case this one has to be killed."""
        if budget is None or budget < WORKER_START:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(budget - WORKER_START, self._pool.prepare_another)
        try:
            yield
        finally:
            timer.cancel()

    async def _follow(
        self, worker: WorkerProcess, estimates: tuple[Estimate, ...], patience: float | None
    ) -> None:
        """An attempt to its end. Raises TimeoutError where only a kill can end it in time."""
        began = time.monotonic()
        self._track.simulate(estimates[0], began)
        self._alone = worker if patience is None and len(estimates) == 1 else None
        try:
            reply = await asyncio.wait_for(worker.final(self._track.advance, self._fetched), patience)
            done = expect(Done, reply)
        except QvirtError as failure:
            self._end(estimates, began, failure.info())
            return
        finally:
            self._alone = None
        for each in estimates:
            if each.candidate == done.result.candidate:
                self._tries.append(Try(each, done.seconds, done.result))
            else:
                self._lost.append(AttemptRecord(each.candidate, done.seconds, "lost_race"))

    def _patience(self, stage: Stage) -> float | None:
        """Seconds after which attempts that have not stopped by themselves are killed."""
        if stage.budget is None:
            return None
        grace = SHORT_GRACE + stage.budget / 20 if self._pool.has_warm else GRACE
        return stage.budget + stage.reload + grace

    def _end(self, estimates: tuple[Estimate, ...], began: float, error: ErrorInfo) -> None:
        seconds = time.monotonic() - began
        self._tries += [Try(each, seconds, error=error) for each in estimates]

    def _no_answer(self, plan: Plan) -> QvirtError:
        errors = [one.error for one in self._tries if one.error is not None]
        broken = [error for error in errors if error.code != GaveUp.code]
        if broken:
            return from_info(broken[-1])
        return no_answer(plan, max((one.seconds for one in self._tries), default=0.0))


def no_answer(plan: Plan, seconds: float) -> DoesNotFit:
    """What is said when no method surely fits and none of those that may has answered in time."""
    memory, qubits = plan.memory_limit, plan.facts.num_qubits
    dense = Precision.SINGLE.amplitude_bytes << qubits
    numbers = f" (a dense state of {qubits} qubits takes {show_bytes(dense)})" if dense > memory else ""
    return DoesNotFit(
        f"no method surely fits in {show_bytes(memory)}{numbers}, and none of those that may gave an answer "
        f"within {show_seconds(seconds)}",
        hint="let them try for longer with --time-limit, give more memory, or use fewer qubits",
    )


async def plan_of(worker: WorkerProcess, track: Track) -> Planned:
    track.phase = "planning"
    planned = expect(Planned, await worker.reply())
    track.plan = planned.plan
    return planned
