"""The table of orders, with work that ends when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qvirt.errors import Conflict, DoesNotFit, NotFound, Unavailable, UsageError
from qvirt.guest import jobs as limits
from qvirt.guest.jobs import Jobs
from qvirt.guest.track import Track
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import JobState
from qvirt.model.order import Answer, Order
from qvirt.model.run import RunOptions


class ByHand:
    """In the place of Orders: an order ends when ``gate`` is open, a drawing of itself its answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = asyncio.Event()

    async def carry_out(self, order: Order, track: Track, begin: Callable[[], None]) -> Answer:
        begin()
        await self.gate.wait()
        if order.columns == 13:
            raise DoesNotFit("told to fail")
        return Answer(drawing=order.id)

    def state_file(self, order_id: str) -> Path:
        return self.folder / order_id

    def expect_checkpoint(self, order: Order) -> None:
        """None of these orders goes on from one."""

    def forget_checkpoint(self, order: Order) -> None:
        """Nor has one."""


def _with_jobs(folder: Path, test: Callable[[Jobs, ByHand], Awaitable[None]]) -> None:
    async def run() -> None:
        work = ByHand(folder)
        jobs = Jobs(work)  # type: ignore[arg-type]
        await test(jobs, work)
        for order_id in reversed(jobs._entries):
            await jobs.cancel(order_id)

    asyncio.run(run())


def _order(order_id: str, size: int = 0, columns: int = 100, **options: float) -> Order:
    source = CircuitSource("x", bytes(size)) if size else None
    return Order(order_id, source=source, columns=columns, options=RunOptions(**options))  # type: ignore[arg-type]


def test_an_order_runs_and_its_answer_is_kept(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        assert jobs.submit(_order("a")).state is JobState.STARTING
        assert (await jobs.wait("a", 5)).state is JobState.RUNNING
        with pytest.raises(Conflict, match="running"):
            jobs.answer("a")
        waiting = asyncio.ensure_future(jobs.wait("a", 60))
        await asyncio.sleep(0)
        work.gate.set()
        assert (await waiting).state is JobState.COMPLETED
        assert b'"a"' in jobs.answer("a")
        assert (await jobs.wait("a", 60)).progress.phase == "ended"
        assert jobs.ended[JobState.COMPLETED] == 1

    _with_jobs(tmp_path, test)


def test_a_failure_is_kept_and_raised_as_what_it_was(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        work.gate.set()
        jobs.submit(_order("a", columns=13))
        while not (await jobs.wait("a", 5)).state.ended:
            pass
        with pytest.raises(DoesNotFit):
            jobs.answer("a")

    _with_jobs(tmp_path, test)


def test_waiting_comes_back_when_time_is_up(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        jobs.submit(_order("a"))
        jobs.submit(_order("b"))
        assert (await jobs.wait("b", 0)).state is JobState.QUEUED
        assert (await jobs.wait("b", 0.001)).state is JobState.QUEUED

    _with_jobs(tmp_path, test)


def test_cancelling_one_that_waits_and_one_that_runs(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        for name in "abc":
            jobs.submit(_order(name))
        assert (await jobs.cancel("b")).state is JobState.CANCELLED
        assert (await jobs.cancel("a")).state is JobState.CANCELLED
        while (await jobs.wait("c", 0.001)).state is not JobState.RUNNING:
            pass
        work.gate.set()
        assert (await jobs.wait("c", 5)).state is JobState.COMPLETED
        assert (await jobs.cancel("c")).state is JobState.COMPLETED
        with pytest.raises(NotFound):
            await jobs.cancel("d")

    _with_jobs(tmp_path, test)


def test_a_time_limit_counts_from_the_beginning(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        jobs.submit(_order("a", time_limit=0.001))
        while not (status := await jobs.wait("a", 5)).state.ended:
            pass
        assert status.state is JobState.TIMED_OUT
        assert status.error is not None
        assert "1 ms" in status.error.message

    _with_jobs(tmp_path, test)


def test_the_queue_has_an_end(tmp_path: Path) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        jobs.submit(_order("running"))
        for number in range(limits.MAX_QUEUED):
            jobs.submit(_order(f"n{number}"))
        with pytest.raises(Unavailable, match="64 orders are waiting"):
            jobs.submit(_order("late"))
        with pytest.raises(NotFound):
            await jobs.wait("late", 0)

    _with_jobs(tmp_path, test)


def test_the_queue_holds_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_QUEUED_BYTES", 1000)

    async def test(jobs: Jobs, work: ByHand) -> None:
        jobs.submit(_order("running", size=900))
        jobs.submit(_order("large", size=2000))
        with pytest.raises(Unavailable):
            jobs.submit(_order("next", size=1))

    _with_jobs(tmp_path, test)


def test_the_oldest_are_forgotten_with_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEPT", 2)

    async def test(jobs: Jobs, work: ByHand) -> None:
        work.gate.set()
        for name in "abcd":
            jobs.submit(_order(name))
            while not (await jobs.wait(name, 5)).state.ended:
                pass
            (tmp_path / name).touch()
        with pytest.raises(NotFound):
            jobs.answer("a")
        assert {path.name for path in tmp_path.iterdir()} == {"b", "c", "d"}
        assert jobs.state_file("d") == tmp_path / "d"

    _with_jobs(tmp_path, test)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "ä", "x" * 65])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    async def test(jobs: Jobs, work: ByHand) -> None:
        with pytest.raises(UsageError):
            jobs.submit(_order(name))

    _with_jobs(tmp_path, test)
