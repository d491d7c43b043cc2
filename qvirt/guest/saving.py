"""In the worker: writing down where a running circuit stands, and going on from there."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qvirt.errors import CheckpointRefused, Conflict
from qvirt.guest.messages import Work
from qvirt.model.checkpoint import CheckpointHead, deciding
from qvirt.model.estimate import Candidate
from qvirt.model.run import Method, RunOptions
from qvirt.simulators import checkpoint_file, sweep
from qvirt.simulators.checkpoint import of_no_sweep
from qvirt.simulators.choice import engine_version, prepare

if TYPE_CHECKING:
    from qvirt.simulators.contract import Program
    from qvirt.simulators.workload import Workload

PIECE = 128 << 10
"""Octets that are sent at once: as many as an event loop reads, and few enough to stay in a core's cache."""


class Outgoing:
    """Sends what it is given in pieces that are neither small nor large."""

    def __init__(self, send: Callable[[memoryview], None]) -> None:
        self._send = send
        self._waiting = bytearray()

    def put(self, octets: bytes | memoryview) -> None:
        if len(self._waiting) + len(octets) < PIECE:
            self._waiting += octets
            return
        self.flush()
        view = memoryview(octets)
        for start in range(0, len(view), PIECE):
            self._send(view[start : start + PIECE])

    def flush(self) -> None:
        if self._waiting:
            self._send(memoryview(self._waiting))
            self._waiting = bytearray()


class Incoming(io.RawIOBase):
    """A file that is fetched piece by piece, as it is read."""

    def __init__(self, fetch: Callable[[], memoryview]) -> None:
        self._fetch = fetch
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = self._fetch()
        some, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(some)] = some
        return len(some)


def options_for(options: RunOptions, candidate: Candidate) -> RunOptions:
    """What a candidate is run with; the parts of a circuit have precisions of their own."""
    return options if candidate.method is Method.SPLIT else replace(options, precision=candidate.precision)


def save(
    send: Callable[[memoryview], None], work: Work, running: dict[Candidate, Workload], program: Program
) -> None:
    """Raises Conflict where the program is one of several."""
    if len(running) > 1:
        raise Conflict(
            "several methods are being tried on the circuit, so there is not yet a run to save",
            hint="wait until one is left, or choose one with --method",
        )
    (candidate,) = running
    outgoing = Outgoing(send)
    checkpoint_file.write(outgoing.put, _head(work, candidate, program), program.checkpoint())
    outgoing.flush()


def prepared(
    candidate: Candidate, workload: Workload, work: Work, fetch: Callable[[], memoryview]
) -> Program:
    """The program of a candidate, where there is a checkpoint as far as that had come."""
    if workload.sweep is not None:
        if work.resume:
            raise of_no_sweep()
        return sweep.prepare(candidate, workload, work.limits, work.calibration)
    if not work.resume:
        return prepare(candidate, workload, work.limits, work.calibration)
    with checkpoint_file.opened(io.BufferedReader(Incoming(fetch), PIECE)) as (head, checkpoint):
        difference = head.difference(_head(work, candidate))
        if difference is not None:
            raise CheckpointRefused(
                f"the checkpoint is of another run: its {difference}",
                hint="resume with what the first run was given, or run anew",
            )
        return prepare(candidate, workload, work.limits, work.calibration, checkpoint)


def _head(work: Work, candidate: Candidate, program: Program | None = None) -> CheckpointHead:
    options = deciding(options_for(work.options, candidate))
    if work.start is not None:
        # The name may be another state's by the time the run goes on.
        options = replace(options, start=f"{work.start.state.name}-{work.start.state.created:.6f}")
    return CheckpointHead(
        candidate,
        engine_version(candidate) or "",
        work.source.sha256,
        options,
        time.time(),
        program.fraction if program else None,
        program.position if program else None,
    )
