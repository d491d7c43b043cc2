"""In the worker: writing down where a running circuit stands, and going on from there."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvirt.errors import CheckpointRefused, Conflict
from qvirt.guest.messages import Work
from qvirt.model.checkpoint import CheckpointHead, Saved, deciding
from qvirt.model.estimate import Candidate
from qvirt.model.run import Method, RunOptions
from qvirt.simulators import checkpoint_file, sweep
from qvirt.simulators.checkpoint import of_no_sweep
from qvirt.simulators.choice import engine_version, prepare

if TYPE_CHECKING:
    from qvirt.simulators.contract import Program
    from qvirt.simulators.workload import Workload


def options_for(options: RunOptions, candidate: Candidate) -> RunOptions:
    """What a candidate is run with; the parts of a circuit have precisions of their own."""
    return options if candidate.method is Method.SPLIT else replace(options, precision=candidate.precision)


def save(path: Path, work: Work, running: dict[Candidate, Workload], program: Program) -> Saved:
    """Raises Conflict where the program is one of several."""
    if len(running) > 1:
        raise Conflict(
            "several methods are being tried on the circuit, so there is not yet a run to save",
            hint="wait until one is left, or choose one with --method",
        )
    (candidate,) = running
    began = time.perf_counter()
    head = _head(work, candidate, program)
    octets = checkpoint_file.write(path, head, program.checkpoint())
    return Saved(octets, time.perf_counter() - began, head)


def prepared(candidate: Candidate, workload: Workload, work: Work) -> Program:
    """The program of a candidate, where ``work`` names a checkpoint as far as that had come."""
    if workload.sweep is not None:
        if work.resume is not None:
            raise of_no_sweep()
        return sweep.prepare(candidate, workload, work.limits, work.calibration)
    if work.resume is None:
        return prepare(candidate, workload, work.limits, work.calibration)
    with checkpoint_file.opened(Path(work.resume)) as (head, checkpoint):
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
