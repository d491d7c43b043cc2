"""Where running jobs stood last: kept on the host, so that it outlives the guest and the VM."""

from __future__ import annotations

import time
from collections.abc import Callable

from qvirt.errors import CheckpointRefused, Conflict, QvirtError, Unsupported, VMFailed
from qvirt.host.guests import Guest
from qvirt.model.checkpoint import KeptCheckpoint, head_of
from qvirt.model.job import Job, JobState
from qvirt.model.order import OrderStatus
from qvirt.paths import Paths
from qvirt.store import Store, write_atomically
from qvirt.units import show_bytes

SOON = 1.0
"""Seconds after which a run that could not be saved yet is asked again."""


class Checkpoints:
    """The newest good one of each job; another takes its place only once it is whole."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store = store
        self._paths = paths

    def take(self, guest: Guest, job_id: str) -> KeptCheckpoint:
        """Save a running job. Raises Conflict where there is no one run to save, Unsupported where its
        engine cannot be saved."""
        path = self._paths.checkpoint(job_id)
        with guest.save(job_id) as octets:
            written = write_atomically(path, octets)
        kept = KeptCheckpoint(written, head_of(path))
        self._store.note(job_id, time.time(), f"saved{at(kept)}, {show_bytes(kept.octets)}")
        return kept

    def find(self, job: Job) -> KeptCheckpoint | None:
        """None where there is none, or none that can be read."""
        try:
            return self._read(job)
        except CheckpointRefused:
            return None

    def to_resume(self, job: Job) -> KeptCheckpoint:
        """The checkpoint of a job that is to go on. Raises Conflict with the reason where it is not."""
        if job.state is JobState.COMPLETED:
            raise Conflict(
                f"job {job.id} has completed: there is nothing left to run",
                hint=f"`qvirt job result {job.id}` prints its result",
            )
        if not job.state.ended:
            raise Conflict(
                f"job {job.id} is {job.state.value}", hint=f"stop it first: `qvirt job cancel {job.id}`"
            )
        if not self._paths.checkpoint(job.id).exists():
            raise Conflict(
                f"job {job.id} has no checkpoint",
                hint="run the circuit again; --checkpoint-every 5m, or `qvirt job checkpoint`, makes one",
            )
        return self._read(job)

    def _read(self, job: Job) -> KeptCheckpoint:
        path = self._paths.checkpoint(job.id)
        head = head_of(path)
        return KeptCheckpoint(path.stat().st_size, head)

    def remove(self, job_id: str) -> None:
        self._paths.checkpoint(job_id).unlink(missing_ok=True)


class Keeper:
    """A watcher of one job that takes a checkpoint of it every so many seconds."""

    def __init__(
        self, checkpoints: Checkpoints, guest: Guest, job_id: str, every: float, tell: Callable[[str], None]
    ) -> None:
        self._checkpoints = checkpoints
        self._guest = guest
        self._job = job_id
        self._every: float | None = every
        self._tell = tell
        self._due = time.monotonic() + every

    def __call__(self, status: OrderStatus) -> None:
        """A run that cannot be saved goes on all the same; the reason is told."""
        if self._every is None or status.state is not JobState.RUNNING or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every
        try:
            self._checkpoints.take(self._guest, self._job)
        except VMFailed:
            raise
        except Conflict:
            self._due = time.monotonic() + min(SOON, self._every)
        except QvirtError as error:
            self._tell(f"no checkpoint of job {self._job}: {error.message}")
            if isinstance(error, Unsupported):
                self._every = None


def at(kept: KeptCheckpoint) -> str:
    """Where it was, as far as its engine says."""
    return "" if kept.head.fraction is None else f" at {kept.head.fraction:.0%}"
