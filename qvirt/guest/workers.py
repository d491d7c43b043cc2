"""The workers of a VM: one at work, the others warm or warming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from qvirt.errors import QvirtError
from qvirt.guest.memory import private
from qvirt.guest.messages import Ready, Warm
from qvirt.guest.process import WorkerProcess
from qvirt.guest.spawn import Spawned
from qvirt.model.order import EngineInfo

RETIRE_ABOVE = 512 << 20
"""Private bytes that an idle worker may keep from what it has run."""


class Pool:
    """Spares are started, and warm up, only while no circuit runs; one that is needed is not held up.

    ``first`` is a worker that was started before there was an event loop.
    """

    def __init__(self, start: Callable[[], Spawned], first: Spawned, spares: int) -> None:
        self._start = start
        self._wanted = 1 + spares
        self._idle = [WorkerProcess(first, self._heard)]
        """The next to be used last."""
        self._busy: set[WorkerProcess] = set()
        self._engines: asyncio.Future[tuple[EngineInfo, ...]] = asyncio.get_running_loop().create_future()
        self.started = 1
        self.ended = 0

    @property
    def expected(self) -> int:
        """Workers that there may be at the same time where a circuit is tried one way after another."""
        return max(2, self._wanted)

    @property
    def has_warm(self) -> bool:
        """One waits that could go on at once."""
        return any(worker.is_warm for worker in self._idle)

    def pids(self) -> list[int]:
        return [worker.pid for worker in (*self._idle, *self._busy) if worker.alive]

    async def engines(self) -> tuple[EngineInfo, ...]:
        """What the workers can run, as the first of them said."""
        return await asyncio.shield(self._engines)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        """A worker to oneself. It is killed where the block is cancelled or breaks, and kept otherwise."""
        worker = self._acquire()
        try:
            yield worker
        except QvirtError:
            raise
        except BaseException:
            worker.kill()
            raise
        finally:
            self._release(worker)

    def prepare_another(self) -> None:
        """Have a worker ready that a running race may need next."""
        if not self._idle:
            self._add()
        for worker in self._idle:
            worker.go_on()

    def _acquire(self) -> WorkerProcess:
        if not self._idle:
            self._add()
        worker = self._idle.pop()
        self._busy.add(worker)
        worker.go_on()
        for other in self._idle:
            if not other.is_warm:
                other.pause()
        return worker

    def _release(self, worker: WorkerProcess) -> None:
        self._busy.discard(worker)
        if worker.alive and not worker.is_spent and private(worker.pid) < RETIRE_ABOVE:
            self._idle.append(worker)
        else:
            worker.kill()
        while len(self._idle) > self._wanted:
            self._idle.pop(0).kill()
        self._refill()

    def _refill(self) -> None:
        """One at a time, and none while a circuit runs."""
        if self._busy:
            return
        for worker in self._idle:
            worker.go_on()
        if len(self._idle) < self._wanted and all(worker.is_warm for worker in self._idle):
            self._add()

    def _add(self) -> None:
        self.started += 1
        self._idle.insert(0, WorkerProcess(self._start(), self._heard))

    def _heard(self, worker: WorkerProcess, word: Ready | Warm | None) -> None:
        if isinstance(word, Ready):
            if not self._engines.done():
                self._engines.set_result(word.engines)
            return
        if word is None:
            self.ended += 1
            if worker in self._idle:
                self._idle.remove(worker)
        # One that dies before it is ready would die again: it is tried again when it is needed.
        if worker.was_ready:
            self._refill()
