"""Benchmark rows as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields

from rich.text import Text

from qvirt.cli.columns import csv_text
from qvirt.cli.options import OutputFormat
from qvirt.cli.render import table, text_of
from qvirt.host.bench import Crossover, Row, crossovers
from qvirt.model.estimate import Candidate
from qvirt.units import show_seconds


def bench_text(rows: Sequence[Row], format: OutputFormat) -> str:
    if format is OutputFormat.CSV:
        header = [field.name for field in fields(Row)]
        place = header.index("candidate")
        shown = [list(astuple(row)) for row in rows]
        for row, cells in zip(rows, shown, strict=True):
            cells[place] = str(row.candidate or "")
        return csv_text(header, shown)
    right = ("qubits", "median", "range", "gates/s", "bandwidth")
    made = table(
        "circuit",
        "qubits",
        "engine",
        "ran as",
        "median",
        "range",
        "gates/s",
        "bandwidth",
        "checked by",
        right=right,
    )
    for row in rows:
        if row.median is None or row.fastest is None or row.slowest is None or row.candidate is None:
            made.add_row(row.family, str(row.qubits), row.engine, row.check, style="dim")
            continue
        made.add_row(
            row.family,
            str(row.qubits),
            row.engine,
            _ran_as(row.candidate, row.device),
            show_seconds(row.median),
            f"{show_seconds(row.fastest)} to {show_seconds(row.slowest)}",
            f"{row.gates_per_second:,.0f}",
            f"{row.bandwidth_share:.0%}" if row.bandwidth_share is not None else "",
            row.check,
        )
    return text_of(made, *map(Text, (*_errors(rows), *map(_crossover, crossovers(rows)))))


def _errors(rows: Sequence[Row]) -> Iterator[str]:
    """Below the table, where there is room for them; what several sizes have in common is said once."""
    sizes: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        if row.error:
            sizes.setdefault((row.family, row.engine, row.error), []).append(row.qubits)
    for (family, engine, error), qubits in sizes.items():
        yield f"{family} on {engine}, {', '.join(map(str, qubits))} qubits: {error}"


def _crossover(found: Crossover) -> str:
    if found.qubits is None:
        return f"{found.family}: the CPU is faster than {found.device} up to {found.largest} qubits at least"
    return f"{found.family}: {found.device} is faster than the CPU from {found.qubits} qubits on"


def _ran_as(candidate: Candidate, device: str | None) -> str:
    name = f"{candidate.engine} {candidate.method.value} {candidate.precision.value}"
    return name if device is None else f"{name} on {device}"
