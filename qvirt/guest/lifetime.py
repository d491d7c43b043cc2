"""When a guest ends by itself: at the end of its time to live, or after long enough without work."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from qvirt.guest.jobs import Jobs
from qvirt.model.vm import LAST_WORDS
from qvirt.units import show_seconds


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds, None for ever; ``end`` ends the process."""

    ttl: float | None
    idle_stop: float | None
    end: Callable[[], None]

    async def watch(self, jobs: Jobs) -> None:
        """Ends the guest in time. Does not return where there is a limit."""
        began = time.monotonic()
        while self.ttl is not None or self.idle_stop is not None:
            now = time.monotonic()
            left = [] if self.ttl is None else [began + self.ttl - now]
            if self.idle_stop is not None:
                left.append(self.idle_stop - (0.0 if jobs.idle_since is None else now - jobs.idle_since))
            if min(left) <= 0:
                over = self.ttl is not None and left[0] <= 0
                self._end("its time to live is over" if over else self._idle())
            await asyncio.sleep(max(0.01, min(left)))

    def _idle(self) -> str:
        return f"it had no work for {show_seconds(self.idle_stop or 0)}"

    def _end(self, reason: str) -> None:
        sys.stderr.write(f"{LAST_WORDS}{reason}\n")
        sys.stderr.flush()
        self.end()
