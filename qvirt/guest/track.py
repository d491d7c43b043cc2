"""How far an order is, as anybody who asks is told."""

from __future__ import annotations

from dataclasses import dataclass

from qvirt.model.estimate import Estimate, Plan
from qvirt.model.result import Position, Progress


@dataclass(slots=True)
class Track:
    """Written by whatever carries the order out; times are seconds of a monotonic clock."""

    arrived: float
    phase: str = "queued"
    began: float | None = None
    ended: float | None = None
    plan: Plan | None = None
    fraction: float | None = None
    position: Position | None = None
    resumed_at: float = 0.0
    """The fraction that was done before this run began."""
    simulating_since: float | None = None
    expected: float | None = None
    """Seconds that the running attempt will take, where that is known."""

    def start(self, now: float) -> None:
        self.began = now
        self.phase = "starting"

    def simulate(self, estimate: Estimate, now: float) -> None:
        self.phase = "simulating"
        self.fraction = self.position = None
        self.simulating_since = now
        self.expected = estimate.seconds if estimate.certain else None

    def advance(self, fraction: float | None, position: Position | None = None) -> None:
        self.fraction = fraction
        self.position = position

    def end(self, now: float) -> None:
        self.phase = "ended"
        self.ended = now

    def progress(self, now: float) -> Progress:
        """``seconds`` are those since it began; what is left is told by the share done, else by the plan."""
        until = now if self.ended is None else self.ended
        seconds = 0.0 if self.began is None else until - self.began
        if self.ended is not None or self.simulating_since is None:
            return Progress(self.phase, self.fraction, seconds, None, self.position)
        running = now - self.simulating_since
        left = None
        if self.fraction is not None and self.fraction > self.resumed_at:
            left = running * (1 - self.fraction) / (self.fraction - self.resumed_at)
        elif self.expected is not None and running < self.expected:
            left = self.expected - running
        return Progress(self.phase, self.fraction, seconds, left, self.position)
