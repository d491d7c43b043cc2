"""Runs of many parameter sets as text: one line a set."""

from __future__ import annotations

from collections.abc import Sequence

from qvirt.cli.columns import columns, csv_text
from qvirt.model.job import Job
from qvirt.model.result import Expectation, Result, Row
from qvirt.units import show_seconds

MOST_SHOWN = 6
"""Parameters that a line has room for; with more, the number of the row stands for them."""


def sweep_text(job: Job, result: Result) -> str:
    rows = result.rows or ()
    first = rows[0]
    names = list(first.parameters) if len(first.parameters) <= MOST_SHOWN else []
    means = [f"<{mean.observable}>" for mean in first.expectations]
    lines = []
    for number, row in enumerate(rows, start=1):
        outcome, count = _commonest(row)
        values = [f"{row.parameters[name]:.6g}" for name in names]
        share = f"{count / result.shots:.1%}"
        lines.append((f"{number}", *values, outcome, share, *(_mean(each) for each in row.expectations)))
    head = (
        f"{job.name}: {len(rows):,} parameter sets, {result.shots:,} shots each of {result.num_qubits} qubits"
        f" by {result.candidate} in {show_seconds(result.timings.total)}  (job {job.id}, seed {result.seed})"
    )
    header = ("row", *names, "commonest", "share", *means)
    shown = columns(header, lines, right=("row", *names, "share", *means), upper=False)
    return f"{head}\n{shown}\nall counts: `qvirt job result {job.id} --format json`"


def sweep_csv(job: Job, rows: Sequence[Row]) -> str:
    first = rows[0]
    means = [
        name for mean in first.expectations for name in (mean.observable, f"standard_error {mean.observable}")
    ]
    header = ("file", "job", "row", *first.parameters, "commonest", "count", *means)
    return csv_text(
        header,
        (
            (job.name, job.id, number, *row.parameters.values(), *_commonest(row), *_numbers(row))
            for number, row in enumerate(rows, start=1)
        ),
    )


def _commonest(row: Row) -> tuple[str, int]:
    return min(row.counts.items(), key=lambda item: (-item[1], item[0]))


def _mean(mean: Expectation) -> str:
    error = f" ± {mean.standard_error:.2g}" if mean.standard_error else ""
    return f"{mean.value:+.6f}{error}"


def _numbers(row: Row) -> list[float]:
    return [number for mean in row.expectations for number in (mean.value, mean.standard_error)]
