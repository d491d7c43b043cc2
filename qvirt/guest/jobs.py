"""The orders of a guest: one runs, a few wait, the last ones that ended are kept."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from qvirt.errors import (
    Cancelled,
    Conflict,
    EngineFailed,
    ErrorInfo,
    NotFound,
    QvirtError,
    TimedOut,
    Unavailable,
    UsageError,
    from_info,
)
from qvirt.guest.orders import Orders
from qvirt.guest.race import no_answer
from qvirt.guest.track import Track
from qvirt.model.estimate import Plan
from qvirt.model.job import TRANSITIONS, JobState
from qvirt.model.order import Answer, Order, OrderStatus
from qvirt.model.wire import to_json
from qvirt.units import show_seconds

logger = logging.getLogger(__name__)

MAX_QUEUED = 64
MAX_KEPT = 32
MAX_KEPT_BYTES = 128 << 20
MAX_AGE = 3600.0
"""Seconds that an order is kept after its end."""

MAX_QUEUED_BYTES = 128 << 20

CANCEL_AGAIN = 0.1
"""Seconds after which a cancellation is repeated: before Python 3.12 wait_for could lose one."""

ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(eq=False, slots=True)
class Entry:
    """One order and its true state; ``changed`` is set and replaced whenever that changes."""

    order: Order
    digest: bytes
    track: Track
    state: JobState = JobState.QUEUED
    error: ErrorInfo | None = None
    answer: bytes | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def move(self, state: JobState, error: QvirtError | None = None) -> None:
        if state not in TRANSITIONS[self.state]:
            raise Conflict(f"order {self.order.id} is {self.state.value}, it cannot be {state.value}")
        self.state = state
        self.error = None if error is None else error.info()
        if state.ended:
            self.track.end(time.monotonic())
        self.changed.set()
        self.changed = asyncio.Event()

    def status(self) -> OrderStatus:
        return OrderStatus(
            id=self.order.id,
            kind=self.order.kind,
            state=self.state,
            progress=self.track.progress(time.monotonic()),
            plan=self.track.plan,
            error=self.error,
        )


class Jobs:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._entries: dict[str, Entry] = {}
        self._queue: deque[Entry] = deque()
        self._running: tuple[Entry, asyncio.Task[Answer]] | None = None
        self.ended: Counter[JobState] = Counter()
        self.busy_seconds = 0.0
        self._rested = time.monotonic()

    @property
    def idle_since(self) -> float | None:
        """Since when (on the monotonic clock) there has been no work; None while there is."""
        return None if self._running or self._queue else self._rested

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> bool:
        return self._running is not None

    def submit(self, order: Order) -> OrderStatus:
        """The same order twice is one. Raises Conflict for another of the same id, Unavailable when full."""
        if not ORDER_ID.fullmatch(order.id):
            raise UsageError("an order's id is up to 64 letters, digits, '-' and '_'")
        digest = hashlib.sha256(to_json(order)).digest()
        known = self._entries.get(order.id)
        if known is not None:
            if known.digest != digest:
                raise Conflict(f"there is another order {order.id}")
            return known.status()
        waiting = sum(_size(entry.order) for entry in self._queue)
        if len(self._queue) >= MAX_QUEUED or (waiting and waiting + _size(order) > MAX_QUEUED_BYTES):
            raise Unavailable(f"{len(self._queue)} orders are waiting already", hint="try again later")
        self._orders.expect_checkpoint(order)
        self._forget_old()
        entry = Entry(order, digest, Track(time.monotonic()))
        self._entries[order.id] = entry
        self._queue.append(entry)
        self._next()
        return entry.status()

    async def wait(self, order_id: str, seconds: float) -> OrderStatus:
        """The status when it changes or after ``seconds``; at once where it has ended."""
        entry = self._entry(order_id)
        if seconds > 0 and not entry.state.ended:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(entry.changed.wait(), seconds)
        return entry.status()

    async def settle(self, order_id: str, seconds: float) -> OrderStatus:
        """The status when it has ended, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        status = await self.wait(order_id, 0)
        while not status.state.ended and (left := deadline - time.monotonic()) > 0:
            status = await self.wait(order_id, left)
        return status

    async def cancel(self, order_id: str) -> OrderStatus:
        """Returns when it has ended; one that had ended stays as it is."""
        entry = self._entry(order_id)
        if entry in self._queue:
            self._queue.remove(entry)
            self._end(entry, JobState.CANCELLED, Cancelled("cancelled before it ran"))
        while not entry.state.ended and self._running is not None and self._running[0] is entry:
            task = self._running[1]
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN)
        return entry.status()

    def answer(self, order_id: str) -> bytes:
        """The Answer as JSON. Raises the order's error, or Conflict where it has not ended."""
        entry = self._entry(order_id)
        if entry.error is not None:
            raise from_info(entry.error)
        if entry.answer is None:
            raise Conflict(f"order {order_id} is {entry.state.value}", hint="wait until it has ended")
        return entry.answer

    def state_file(self, order_id: str) -> Path:
        self.answer(order_id)
        path = self._orders.state_file(order_id)
        if path is None or not path.exists():
            raise NotFound(f"order {order_id} has no state vector")
        return path

    def checkpoint(self, order_id: str) -> AsyncGenerator[memoryview, None]:
        """Where it stands, as a file's octets; the run goes on. Raises Conflict where there is no run."""
        entry = self._entry(order_id)
        if entry.state is not JobState.RUNNING:
            raise Conflict(f"order {order_id} is {entry.state.value}: only a running circuit can be saved")
        return self._orders.save(entry.order)

    async def give_checkpoint(self, name: str, octets: AsyncIterator[bytes]) -> None:
        """To the order that goes on from it, however long it has to wait for its turn."""
        await self._orders.give_checkpoint(name, octets)

    def _entry(self, order_id: str) -> Entry:
        try:
            return self._entries[order_id]
        except KeyError:
            raise NotFound(f"there is no order {order_id!r} in this VM") from None

    def _next(self) -> None:
        if self._running is None and self._queue:
            entry = self._queue.popleft()
            entry.track.start(time.monotonic())
            entry.move(JobState.STARTING)
            limit = _TimeLimit(entry)
            task = asyncio.ensure_future(self._orders.carry_out(entry.order, entry.track, limit.begin))
            self._running = entry, task
            # A callback, because a task that is cancelled before its first step runs no line of its own.
            task.add_done_callback(partial(self._done, entry, limit))

    def _done(self, entry: Entry, limit: _TimeLimit, task: asyncio.Task[Answer]) -> None:
        limit.end()
        if task.cancelled():
            if limit.passed is None:
                self._end(entry, JobState.CANCELLED, Cancelled("cancelled while it ran"))
            else:
                state = JobState.TIMED_OUT if isinstance(limit.passed, TimedOut) else JobState.FAILED
                self._end(entry, state, limit.passed)
        elif (error := task.exception()) is None:
            entry.answer = to_json(task.result())
            self._end(entry, JobState.COMPLETED)
        elif isinstance(error, QvirtError):
            self._end(entry, JobState.FAILED, error)
        else:
            logger.error("order %s", entry.order.id, exc_info=error)
            self._end(entry, JobState.FAILED, EngineFailed(f"the VM failed: {error!r}"))
        self._running = None
        self._rested = time.monotonic()
        self._next()

    def _end(self, entry: Entry, state: JobState, error: QvirtError | None = None) -> None:
        entry.order = replace(entry.order, source=None, sweep=None)
        entry.move(state, error)
        self.ended[state] += 1
        if entry.track.began is not None:
            self.busy_seconds += time.monotonic() - entry.track.began
        if state is not JobState.COMPLETED:
            self._remove_state(entry)
        self._orders.forget_checkpoint(entry.order)

    def _forget_old(self) -> None:
        ended = [entry for entry in self._entries.values() if entry.state.ended]
        oldest = time.monotonic() - MAX_AGE
        kept_bytes = sum(len(entry.answer or b"") for entry in ended)
        for number, entry in enumerate(ended[:-1]):
            too_many = len(ended) - number > MAX_KEPT
            if too_many or kept_bytes > MAX_KEPT_BYTES or (entry.track.ended or 0.0) < oldest:
                kept_bytes -= len(entry.answer or b"")
                self._remove_state(entry)
                del self._entries[entry.order.id]

    def _remove_state(self, entry: Entry) -> None:
        path = self._orders.state_file(entry.order.id)
        if path is not None:
            path.unlink(missing_ok=True)


def _size(order: Order) -> int:
    source = 0 if order.source is None else len(order.source.data)
    return source + (0 if order.sweep is None else order.sweep.octets)


class _TimeLimit:
    """Cancels the task that has called ``begin`` when the order's time limit has passed since."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.passed: QvirtError | None = None

    def begin(self) -> None:
        self._task = asyncio.current_task()
        self._entry.move(JobState.RUNNING)
        limit = self._entry.order.options.time_limit
        if limit is not None:
            self._timer = asyncio.get_running_loop().call_later(limit, self._expire, limit)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, limit: float) -> None:
        self.passed = _out_of_time(self._entry.track.plan, limit)
        if self._task is not None:
            self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(CANCEL_AGAIN, self._expire, limit)


def _out_of_time(plan: Plan | None, limit: float) -> QvirtError:
    """A circuit that no method surely fits was given the time only to see whether one does."""
    if plan is not None and plan.stages and plan.stages[-1].budget is not None:
        return no_answer(plan, limit)
    return TimedOut(f"stopped at its time limit of {show_seconds(limit)}", hint="give more with --time-limit")
