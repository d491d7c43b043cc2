"""qvirt bench"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qvirt.cli import options as option
from qvirt.cli import output
from qvirt.errors import UsageError
from qvirt.units import parse_seconds

if TYPE_CHECKING:
    from qvirt.host.bench import Request, Row
    from qvirt.host.host import Host
    from qvirt.model.hardware import Hardware
    from qvirt.model.vm import VM


@dataclass(frozen=True, slots=True)
class View:
    """Where the rows go."""

    format: option.OutputFormat
    quiet: bool
    saved: Path | None
    plot: Path | None


def bench(
    qubits: Annotated[str, typer.Option(help="Sizes, comma-separated.")] = "5,10,15,20",
    circuits: Annotated[
        str, typer.Option(help="Families, comma-separated; `list` names them.")
    ] = "ghz,qft,qv,random",
    engines: Annotated[
        str, typer.Option(help="auto, aer, qsim, torch, ddsim, stim, product, comma-separated.")
    ] = "auto,aer,qsim",
    repeats: Annotated[
        int, typer.Option("--repeats", "-n", min=1, help="Timed runs after one that is not.")
    ] = 5,
    shots: Annotated[int, typer.Option("--shots", "-s", min=1, help="Of each run.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Of the random circuits.")] = 1,
    time_limit: Annotated[str, typer.Option("--time-limit", "-t", help="For each run.")] = "60s",
    cpus: option.CpusOption = None,
    saved: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the raw data as JSON.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a PNG of time against size.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Measure the cost constants that choices rest on, and nothing else."
        ),
    ] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Measure the engines on this machine: first the answers are checked, then the time is taken."""
    from qvirt.cli.plot import require_matplotlib
    from qvirt.cli.session import embedded_vm, opened_host
    from qvirt.methods.families import families

    if circuits == "list":
        output.result("\n".join(f"{f.name:<14} {f.description}" for f in families().values()))
        return
    request = _request(circuits, qubits, engines, repeats, shots, seed, time_limit)
    _check_files(saved, plot)
    if plot is not None:
        require_matplotlib()
    from qvirt.probe.gpu import gpus

    with opened_host() as host, embedded_vm(host, cpus, gpu=bool(gpus()[0])) as vm:
        if calibrate:
            _calibrate(host, vm, quiet)
        else:
            _measure(host, vm, request, View(format, quiet, saved, plot))


def _request(
    circuits: str, qubits: str, engines: str, repeats: int, shots: int, seed: int, time_limit: str
) -> Request:
    from qvirt.host.bench import ENGINES, Request
    from qvirt.methods.families import families

    return Request(
        families=_known(circuits, list(families()), "family"),
        qubits=_sizes(qubits),
        engines=_known(engines, list(ENGINES), "engine"),
        repeats=repeats,
        shots=shots,
        seed=seed,
        time_limit=parse_seconds(time_limit),
    )


def _measure(host: Host, vm: VM, request: Request, view: View) -> None:
    from qvirt.host.bench import bench
    from qvirt.probe import probe

    hardware = probe(bandwidth_cache=host.paths.bandwidth)
    rows = list(bench(host, vm, request, hardware.memory_bandwidth, output.notes(view.quiet)))
    _show(request, rows, hardware, view.format)
    _save(request, rows, hardware, view)
    if any(row.check == "failed" for row in rows):
        raise typer.Exit(1)


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _known(text: str, known: list[str], kind: str) -> tuple[str, ...]:
    chosen = _split(text)
    for name in chosen:
        if name not in known:
            raise UsageError(f"there is no {kind} {name!r}", hint=f"there are: {', '.join(known)}")
    if not chosen:
        raise UsageError(f"no {kind} was named", hint=f"there are: {', '.join(known)}")
    return chosen


def _sizes(text: str) -> tuple[int, ...]:
    parts = _split(text)
    if not parts or not all(part.isdecimal() and 2 <= int(part) <= 1000 for part in parts):
        raise UsageError(
            f"{text!r} is not a list of sizes", hint="for example --qubits 5,10,15,20; at least 2"
        )
    return tuple(sorted({int(part) for part in parts}))


def _check_files(*files: Path | None) -> None:
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {file.parent}")


def _calibrate(host: Host, vm: VM, quiet: bool) -> None:
    from qvirt.cli.progress import ProgressBar

    note = output.notes(quiet)
    note("measuring the engines: half a minute to a minute, best on a quiet machine")
    with ProgressBar("calibration", quiet) as bar:
        path = host.calibrate(vm, bar)
    note(f"the cost constants of this machine are in {path}")


def _show(request: Request, rows: list[Row], hardware: Hardware, format: option.OutputFormat) -> None:
    from qvirt.cli.render_bench import bench_text

    if format is option.OutputFormat.JSON:
        output.document("qvirt.bench/1", **_content(request, rows, hardware))
    else:
        output.result(bench_text(rows, format))


def _content(request: Request, rows: list[Row], hardware: Hardware) -> dict[str, Any]:
    from qvirt.host.bench import crossovers

    return {"request": request, "hardware": hardware, "rows": rows, "crossovers": crossovers(rows)}


def _save(request: Request, rows: list[Row], hardware: Hardware, view: View) -> None:
    from qvirt.cli.plot import plot_bench
    from qvirt.model.wire import to_json, to_plain

    try:
        if view.saved is not None:
            document = {"schema": "qvirt.bench/1", **_content(request, rows, hardware)}
            view.saved.write_bytes(to_json(to_plain(document), indent=2))
        if view.plot is not None:
            plot_bench(rows, hardware, view.plot)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from error
