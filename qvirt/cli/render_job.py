"""Jobs as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qvirt.cli import output
from qvirt.cli.columns import columns, csv_text
from qvirt.cli.options import OutputFormat
from qvirt.model.job import Event, Job
from qvirt.model.wire import to_plain
from qvirt.units import show_seconds


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


def job_text(job: Job, events: Sequence[Event], format: OutputFormat) -> str:
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
    if job.error is not None:
        lines.append("error    " + output.describe(job.error).removeprefix("qvirt: "))
    lines.append("history")
    lines += [f"  {when(e.time)}  {e.after.value}{f'  ({e.reason})' if e.reason else ''}" for e in events]
    return "\n".join(lines)
