"""When a guest ends by itself: at the end of its time to live, or after long enough without work."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from qvirt.guest.jobs import Jobs
from qvirt.model.vm import LAST_WORDS
from qvirt.units import show_seconds


class Lifetime:
    """``end`` ends the process."""

    def __init__(self, ttl: float | None, idle_stop: float | None, end: Callable[[], None]) -> None:
        self._end = end
        self._changed = asyncio.Event()
        self.begin(ttl, idle_stop)

    def begin(self, ttl: float | None, idle_stop: float | None) -> None:
        """Both count from now; None is for ever. On the thread of the event loop, where that runs."""
        self._began = time.monotonic()
        self._ttl, self._idle_stop = ttl, idle_stop
        self._changed.set()

    async def watch(self, jobs: Jobs) -> None:
        """Ends the guest in time. Does not return."""
        while True:
            self._changed.clear()
            over, left = self._left(jobs.idle_since, time.monotonic())
            if left is not None and left <= 0:
                sys.stderr.write(f"{LAST_WORDS}{over}\n")
                sys.stderr.flush()
                self._end()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if left is None else max(0.01, left))

    def _left(self, idle_since: float | None, now: float) -> tuple[str, float | None]:
        """What will end it first, and the seconds until then at the least; None where nothing will."""
        left: list[tuple[float, str]] = []
        if self._ttl is not None:
            left.append((self._began + self._ttl - now, "its time to live is over"))
        if self._idle_stop is not None:
            rested = 0.0 if idle_since is None else now - max(idle_since, self._began)
            left.append((self._idle_stop - rested, f"it had no work for {show_seconds(self._idle_stop)}"))
        seconds, over = min(left, default=(None, ""))
        return over, seconds
