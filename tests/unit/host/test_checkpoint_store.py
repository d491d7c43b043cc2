from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.errors import CheckpointRefused, Conflict, QvirtError, StateError, Unsupported, VMFailed
from qvirt.host.checkpoints import Checkpoints, Keeper
from qvirt.model.checkpoint import CheckpointHead, head_line
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate
from qvirt.model.job import Job, JobState
from qvirt.model.order import OrderKind, OrderStatus
from qvirt.model.result import Progress
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.paths import Paths
from qvirt.store import Store

SOURCE = CircuitSource("a.qasm", b"OPENQASM 2.0;")
JOB = Job("abc123", SOURCE.name, SOURCE.sha256, RunOptions(), JobState.QUEUED, 100.0)
HEAD = CheckpointHead(
    Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE), "1", SOURCE.sha256, RunOptions(seed=1), 1.0, 0.4
)
RUNNING = OrderStatus(JOB.id, OrderKind.RUN, JobState.RUNNING, Progress("simulating"))


class Answering:
    """In the place of a guest: saves, or raises what it is told to."""

    def __init__(self, *errors: QvirtError) -> None:
        self.errors = list(errors)
        self.asked = 0

    @contextmanager
    def save(self, order_id: str) -> Iterator[Iterator[bytes]]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        yield iter([head_line(HEAD), b"..."])


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    store = Store(Paths(tmp_path / "home"))
    store.add_job(JOB, SOURCE.data, "me")
    return Checkpoints(store, store.paths)


def keep(kept: Checkpoints, guest: Answering, statuses: int) -> list[str]:
    """So many looks at a job that is to be saved at each of them; what was told."""
    told: list[str] = []
    keeper = Keeper(kept, guest, JOB.id, 1e-6, told.append)  # type: ignore[arg-type]
    for _ in range(statuses):
        time.sleep(1e-4)
        keeper(RUNNING)
    return told


def test_what_is_taken_is_found_and_noted(kept: Checkpoints) -> None:
    assert kept.find(JOB) is None
    taken = kept.take(Answering(), JOB.id)  # type: ignore[arg-type]
    assert kept.find(JOB) == taken
    assert kept._store.events(JOB.id)[-1].reason == f"saved at 40%, {taken.octets} B"
    kept.remove(JOB.id)
    assert kept.find(JOB) is None


def test_a_file_that_is_none_is_named(kept: Checkpoints) -> None:
    kept.take(Answering(), JOB.id)  # type: ignore[arg-type]
    kept._paths.checkpoint(JOB.id).write_bytes(b"something else")
    assert kept.find(JOB) is None
    with pytest.raises(CheckpointRefused, match="no checkpoint of qvirt"):
        kept.to_resume(replace(JOB, state=JobState.FAILED))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (JobState.COMPLETED, "has completed"),
        (JobState.RUNNING, "is running"),
        (JobState.LOST, "no checkpoint"),
    ],
)
def test_what_is_not_resumed_and_why(kept: Checkpoints, state: JobState, says: str) -> None:
    with pytest.raises(Conflict, match=says) as refused:
        kept.to_resume(replace(JOB, state=state))
    assert refused.value.hint


def test_a_run_is_saved_each_time_that_it_is_due(kept: Checkpoints) -> None:
    guest = Answering()
    assert keep(kept, guest, 3) == []
    assert guest.asked == 3


def test_a_run_that_cannot_be_saved_yet_is_asked_again(kept: Checkpoints) -> None:
    guest = Answering(Conflict("planning"))
    assert keep(kept, guest, 2) == []
    assert (guest.asked, kept.find(JOB) is not None) == (2, True)


def test_a_run_that_never_can_is_asked_once_and_the_reason_told(kept: Checkpoints) -> None:
    guest = Answering(Unsupported("it runs in one go"))
    assert keep(kept, guest, 3) == ["no checkpoint of job abc123: it runs in one go"]
    assert guest.asked == 1


def test_a_disk_that_is_full_is_told_and_tried_again(kept: Checkpoints) -> None:
    guest = Answering(StateError("no space"))
    assert len(keep(kept, guest, 2)) == 1
    assert kept.find(JOB) is not None


def test_a_guest_that_is_gone_is_not_hidden(kept: Checkpoints) -> None:
    with pytest.raises(VMFailed):
        keep(kept, Answering(VMFailed("silence")), 1)
