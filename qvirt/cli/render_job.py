"""Jobs as text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from qvirt.cli import output
from qvirt.cli.columns import columns, csv_text
from qvirt.cli.options import OutputFormat
from qvirt.model.checkpoint import KeptCheckpoint
from qvirt.model.job import Event, Job
from qvirt.model.result import Position, Progress
from qvirt.model.wire import to_plain
from qvirt.units import show_bytes, show_seconds


def when(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def _took(job: Job) -> str:
    return show_seconds(job.ended - job.started) if job.ended and job.started else ""


def jobs_text(jobs: Sequence[Job], format: OutputFormat) -> str:
    if format is OutputFormat.CSV:
        rows = [(j.id, j.name, j.state.value, j.created, j.started, j.ended, j.options.shots) for j in jobs]
        return csv_text(("job", "file", "state", "created", "started", "ended", "shots"), rows)
    if not jobs:
        return "no jobs yet: `qvirt run examples/bell.qasm` makes one"
    lines = [
        (job.id, job.name, job.state.value, f"{job.options.shots:,}", when(job.created), _took(job))
        for job in jobs
    ]
    return columns(("job", "circuit", "state", "shots", "created", "took"), lines, right=("shots", "took"))


def checkpoint_text(kept: KeptCheckpoint) -> str:
    """``8.00 MiB by qsim/statevector/single, 43 % (1,290 of 3,000 operations)``"""
    head = kept.head
    done = "" if head.fraction is None else f", {head.fraction:.0%}"
    where = position_text(head.position)
    return f"{show_bytes(kept.octets)} by {head.candidate}{done}{f' ({where})' if where else ''}"


def position_text(position: Position | None) -> str:
    """What is done, of what; empty where the engine counts neither."""
    if position is None:
        return ""
    pairs = [
        (position.operations_done, position.operations, "operations"),
        (position.shots_done, position.shots, "shots"),
        (position.rows_done, position.rows, "rows"),
    ]
    return ", ".join(f"{done or 0:,} of {total:,} {what}" for done, total, what in pairs if total is not None)


def _progress_text(progress: Progress) -> str:
    parts = [progress.phase]
    if progress.fraction is not None:
        parts.append(f"{progress.fraction:.0%}")
    parts += filter(None, [position_text(progress.position)])
    parts.append(f"{show_seconds(progress.seconds)} used")
    if progress.seconds_left is not None:
        parts.append(f"about {show_seconds(progress.seconds_left)} left")
    return ", ".join(parts)


def job_text(
    job: Job,
    events: Sequence[Event],
    progress: Progress | None,
    checkpoint: KeptCheckpoint | None,
    format: OutputFormat,
) -> str:
    if format is OutputFormat.CSV:
        rows = [(e.time, e.before.value if e.before else "", e.after.value, e.reason or "") for e in events]
        return csv_text(("time", "before", "after", "reason"), rows)
    lines = [
        f"job      {job.id}",
        f"circuit  {job.name} (sha256 {job.circuit[:16]}…)",
        f"state    {job.state.value}{' in ' + _took(job) if _took(job) else ''}",
    ]
    defaults = to_plain(type(job.options)())
    asked = {
        name: value
        for name, value in to_plain(job.options).items()
        if name == "shots" or value != defaults[name]
    }
    lines.append("asked    " + ", ".join(f"{name}={value}" for name, value in asked.items()))
    if job.sweep is not None:
        lines.append(f"sweep    parameter sets with sha256 {job.sweep[:16]}…")
    if job.resumes is not None:
        lines.append(f"resumes  {job.resumes}")
    if progress is not None:
        lines.append("now      " + _progress_text(progress))
    if checkpoint is not None:
        age = show_seconds(max(1.0, time.time() - checkpoint.head.created))
        lines.append(f"saved    {age} ago: {checkpoint_text(checkpoint)}")
    if job.error is not None:
        lines.append("error    " + output.describe(job.error).removeprefix("qvirt: "))
    lines.append("history")
    lines += [f"  {when(e.time)}  {e.after.value}{f'  ({e.reason})' if e.reason else ''}" for e in events]
    return "\n".join(lines)
