"""qvirt run"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.errors import QvirtError, Unavailable, UsageError, from_info

if TYPE_CHECKING:
    from qvirt.host.host import Host
    from qvirt.host.loop import Finished
    from qvirt.model.circuit import CircuitSource
    from qvirt.model.run import RunOptions
    from qvirt.model.vm import VM

NO_DAEMON = "--detach needs the qvirt daemon, which is not part of this version"


@dataclass(frozen=True, slots=True)
class View:
    """How results are shown."""

    format: option.OutputFormat
    quiet: bool
    top: int | None


def run(
    circuits: option.CircuitsArgument,
    shots: option.ShotsOption = None,
    seed: option.SeedOption = None,
    engine: option.EngineOption = None,
    method: option.MethodOption = None,
    precision: option.PrecisionOption = None,
    observable: option.ObservableOption = None,
    noise: option.NoiseOption = None,
    probabilities: option.ProbabilitiesOption = False,
    per_shot: option.PerShotOption = False,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the state before the last measurements as .npy."),
    ] = None,
    memory: option.MemoryOption = None,
    time: option.TimeOption = None,
    cpus: option.CpusOption = None,
    vm: option.TargetOption = None,
    runtime: option.RuntimeOption = None,
    template: option.TemplateOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do not do it.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Not in this version: it needs the daemon.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Show this many of the commonest outcomes.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="Show every outcome.")] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Run circuits with the right method, within limits; Ctrl-C stops them within a second.

    Nothing needs to be set up: a process VM is started, runs the circuits and goes away; --vm names one
    that there is. Each run is a job whose result stays: see `qvirt job list`.
    """
    from qvirt.cli import session, sources
    from qvirt.cli.plan import show_plans
    from qvirt.cli.requests import Asked

    if detach:
        raise Unavailable(
            NO_DAEMON, hint="leave it out; in a shell, `qvirt run ... &` runs it in the background"
        )
    _check_state_file(state, circuits)
    asked = Asked(
        shots, seed, engine, method, precision, observable, noise, probabilities, per_shot, memory, time
    )
    with session.opened_host() as host:
        options = replace(asked, state=state is not None).options(host.settings)
        batch = sources.read(circuits)
        with session.target_vm(host, session.Target(vm, runtime, template, cpus)) as machine:
            options = machine.spec.applied_to(options)
            if plan:
                show_plans(host, machine, batch, options, format, quiet)
            else:
                _run_batch(host, machine, batch, options, state, View(format, quiet, None if every else top))


def _check_state_file(state: Path | None, circuits: list[str]) -> None:
    if state is None:
        return
    if len(circuits) > 1 or Path(circuits[0]).is_dir():
        raise UsageError("--state takes the state of one circuit, and several were named")
    if not state.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {state.parent} for the state file")


def _run_batch(
    host: Host, vm: VM, batch: list[CircuitSource], asked: RunOptions, state: Path | None, view: View
) -> None:
    """Every circuit is run, whatever becomes of the others; the exit status is the first failure's."""
    from qvirt.cli.progress import ProgressBar
    from qvirt.cli.render import RunPrinter

    failures: list[QvirtError] = []
    with RunPrinter(view.format, view.top, view.quiet) as printer:
        for source in batch:
            job = host.submit(source, asked)
            with ProgressBar(source.name, view.quiet) as bar:
                finished = host.run(job, source, vm, bar)
            if state is not None and finished.result is not None:
                _copy_state(host, finished, state)
            printer.show(finished)
            failures += [from_info(finished.error)] if finished.error else []
    if failures:
        raise typer.Exit(failures[0].exit_status)


def _copy_state(host: Host, finished: Finished, target: Path) -> None:
    try:
        shutil.copyfile(host.paths.state(finished.job.id), target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
