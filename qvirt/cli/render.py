"""Runs and plans as text: the tables and bars that people read, and CSV."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from qvirt.cli import output
from qvirt.cli.columns import csv_text
from qvirt.cli.options import OutputFormat
from qvirt.cli.render_sweep import sweep_csv, sweep_text
from qvirt.errors import from_info
from qvirt.host.loop import Finished
from qvirt.model.estimate import Estimate, Plan
from qvirt.model.job import Job
from qvirt.model.result import Result
from qvirt.model.wire import to_plain
from qvirt.units import show_bytes, show_seconds

BAR_WIDTH = 40
RUN_COLUMNS = ("file", "job", "quantity", "key", "value", "standard_error")


def text_of(*renderables: object) -> str:
    """What rich makes of tables, for stdout as it is: colours only on a terminal."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=shutil.get_terminal_size((100, 24)).columns,
        force_terminal=sys.stdout.isatty(),
        highlight=False,
    )
    for renderable in renderables:
        console.print(renderable)
    return buffer.getvalue()


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


class RunPrinter:
    """Prints runs as they end; JSON is one document, printed when the last has."""

    def __init__(self, format: OutputFormat, top: int | None, quiet: bool) -> None:
        self._format = format
        self._top = top
        self._quiet = quiet
        self._runs: list[dict[str, Any]] = []
        self._started = False

    def __enter__(self) -> RunPrinter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._format is OutputFormat.JSON and (self._runs or kind is None):
            output.document("qvirt.run/1", runs=self._runs)

    def show(self, finished: Finished) -> None:
        if finished.error is not None and (self._format is not OutputFormat.JSON):
            output.error(from_info(finished.error))
        if self._format is OutputFormat.JSON:
            self._runs.append(_run_document(finished))
        elif finished.result is not None and self._format is OutputFormat.CSV:
            text = _run_csv(finished.job, finished.result)
            output.result(text if not self._started else text.split("\n", 1)[1])
            self._started = True
        elif finished.result is not None:
            output.result(_run_text(finished.job, finished.result, self._top))
            if not self._quiet:
                for warning in finished.result.warnings:
                    output.note(f"qvirt: {finished.job.name}: {warning}")
        sys.stdout.flush()


def _run_document(finished: Finished) -> dict[str, Any]:
    job = finished.job
    return {
        "file": job.name,
        "job": job.id,
        "state": job.state.value,
        "error": to_plain(finished.error),
        "result": to_plain(finished.result),
    }


def _run_csv(job: Job, result: Result) -> str:
    if result.rows is not None:
        return sweep_csv(job, result.rows)
    return csv_text(RUN_COLUMNS, _run_rows(job, result))


def _run_rows(job: Job, result: Result) -> Iterable[tuple[Any, ...]]:
    place = (job.name, job.id)
    for key, count in _ranked(result.counts):
        yield (*place, "count", key, count, "")
    for key, chance in _ranked(result.probabilities or {}):
        yield (*place, "probability", key, chance, "")
    for found in result.expectations:
        yield (*place, "expectation", found.observable, found.value, found.standard_error)
    for number, bits in enumerate(result.memory or ()):
        yield (*place, "shot", number, bits, "")


def _ranked(values: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))


def _run_text(job: Job, result: Result, top: int | None) -> str:
    if result.rows is not None:
        return sweep_text(job, result)
    lines = [
        f"{job.name}: {result.shots:,} shots of {result.num_qubits} qubits by {result.candidate}"
        f" in {show_seconds(result.timings.total)}  (job {job.id}, seed {result.seed})"
    ]
    if result.measured_all_added:
        lines.append("the circuit measures nothing, so all qubits were measured at its end")
    lines += _bars(result.counts, result.shots, top)
    if result.probabilities is not None:
        lines += ["", "exact probabilities", *_bars(result.probabilities, 1.0, top)]
    for found in result.expectations:
        error = f" ± {found.standard_error:.2g}" if found.standard_error else ""
        lines.append(f"<{found.observable}> = {found.value:+.6f}{error}")
    if (kept := result.kept) is not None:
        lines.append(f"kept as {kept.name}: {kept.num_qubits} qubits, {show_bytes(kept.octets)}")
    if result.memory is not None:
        lines.append(f"the bits of each shot: `qvirt job result {job.id} --format csv` or json")
    return "\n".join(lines)


def _bars(values: dict[str, Any], whole: float, top: int | None) -> list[str]:
    ranked = _ranked(values)
    shown = ranked if top is None else ranked[:top]
    if not shown:
        return []
    longest = shown[0][1] or 1
    key_width = min(max(len(key) for key, _ in shown), 72)
    numbers = [f"{value:,}" if isinstance(value, int) else f"{value:.6f}" for _, value in shown]
    width = max(len(number) for number in numbers)
    bar_width = max(10, min(BAR_WIDTH, shutil.get_terminal_size((100, 24)).columns - key_width - width - 12))
    lines = [
        f"  {_short(key, key_width):<{key_width}}  {number:>{width}}  {value / whole:6.1%}"
        f"  {_bar(value / longest, bar_width)}"
        for (key, value), number in zip(shown, numbers, strict=True)
    ]
    rest = len(ranked) - len(shown)
    if rest:
        lines.append(f"  and {rest:,} other outcome{'s' if rest > 1 else ''} (--all shows them)")
    return lines


def _short(key: str, width: int) -> str:
    return key if len(key) <= width else key[: width // 2 - 1] + "…" + key[-(width - width // 2) :]


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def plans_text(plans: Sequence[tuple[str, Plan]], format: OutputFormat) -> str:
    if format is OutputFormat.CSV:
        header = (
            "file",
            "use",
            "engine",
            "method",
            "precision",
            "memory_bytes",
            "seconds",
            "error_factor",
            "certain",
        )
        return csv_text(header, (row for name, plan in plans for row in _plan_rows(name, plan)))
    return "\n".join(_plan_text(name, plan) for name, plan in plans)


def _estimates(plan: Plan) -> Iterable[tuple[str, Estimate]]:
    for number, stage in enumerate(plan.stages, start=1):
        use = f"{number}." if len(plan.stages) > 1 else "chosen"
        for estimate in stage.attempts:
            yield use, estimate
    for estimate in plan.runners_up:
        yield "", estimate


def _plan_rows(name: str, plan: Plan) -> Iterable[tuple[Any, ...]]:
    for use, e in _estimates(plan):
        c = e.candidate
        yield (
            name,
            use,
            c.engine,
            c.method.value,
            c.precision.value,
            e.memory,
            e.seconds,
            e.error,
            e.certain,
        )


def _plan_text(name: str, plan: Plan) -> str:
    facts = plan.facts
    head = (
        f"{name}: {facts.num_qubits} qubits, {facts.gates:,} gates, depth {facts.depth:,}, "
        f"{facts.clifford_share:.0%} Clifford\n"
        f"limits: {show_bytes(plan.memory_limit)} of memory, {plan.threads} "
        f"thread{'s' if plan.threads > 1 else ''}\n"
        f"{plan.refusal.message if plan.refusal else plan.reason}"
    )
    if plan.refusal and plan.refusal.hint:
        head += f"\n  hint: {plan.refusal.hint}"
    shown = table("", "how", "memory", "time", right=("memory", "time"))
    for use, e in _estimates(plan):
        time = (
            f"{show_seconds(e.seconds)} ×/÷ {e.error:.1f}" if e.certain else f"from {show_seconds(e.seconds)}"
        )
        memory = show_bytes(e.memory) if e.certain else f"up to {show_bytes(e.memory)}"
        shown.add_row(use, f"{e.candidate}\n  {e.reason}", memory, time, style=None if use else "dim")
    for rejection in plan.rejected:
        shown.add_row("no", f"{rejection.candidate}\n  {rejection.reason}", "", "", style="dim")
    return head + "\n" + text_of(shown)
