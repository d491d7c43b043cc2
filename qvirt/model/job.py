"""A job: one circuit to run, with one true state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qvirt.errors import ErrorInfo
from qvirt.model.run import RunOptions


class JobState(str, Enum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self]


_ENDS_EARLY = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT, JobState.LOST})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING}) | _ENDS_EARLY,
    JobState.STARTING: frozenset({JobState.RUNNING}) | _ENDS_EARLY,
    JobState.RUNNING: frozenset({JobState.COMPLETED}) | _ENDS_EARLY,
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.TIMED_OUT: frozenset(),
    JobState.LOST: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Job:
    """Times are seconds since the epoch. ``circuit`` is the SHA-256 of the source.

    ``resumes`` is the job that this one goes on with, from its checkpoint; ``sweep`` the SHA-256 of its
    parameter sets, where it has any.
    """

    id: str
    name: str
    circuit: str
    options: RunOptions
    state: JobState
    created: float
    started: float | None = None
    ended: float | None = None
    vm: str | None = None
    error: ErrorInfo | None = None
    resumes: str | None = None
    sweep: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history; the first has no state before it."""

    job: str
    time: float
    before: JobState | None
    after: JobState
    reason: str | None
