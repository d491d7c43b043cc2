"""qvirt run"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvirt.cli import options as option
from qvirt.cli import run_options
from qvirt.cli.failures import Failures
from qvirt.errors import Unavailable, UsageError, from_info
from qvirt.units import parse_seconds

if TYPE_CHECKING:
    from qvirt.cli.requests import Asked
    from qvirt.cli.session import Target
    from qvirt.host.host import Host
    from qvirt.host.loop import Finished, Saving
    from qvirt.model.circuit import CircuitSource
    from qvirt.model.job import Job
    from qvirt.model.vm import VM

NO_DAEMON = "--detach needs the qvirt daemon, which is not part of this version"


@dataclass(frozen=True, slots=True)
class View:
    """How results are shown; ``state`` is the file that the state vector goes to."""

    format: option.OutputFormat
    quiet: bool
    top: int | None
    state: Path | None


def run(
    circuits: run_options.CircuitsArgument = None,
    shots: option.ShotsOption = None,
    seed: option.SeedOption = None,
    engine: option.EngineOption = None,
    method: option.MethodOption = None,
    precision: option.PrecisionOption = None,
    device: option.DeviceOption = None,
    params: option.ParamsOption = None,
    observable: option.ObservableOption = None,
    noise: option.NoiseOption = None,
    probabilities: option.ProbabilitiesOption = False,
    per_shot: option.PerShotOption = False,
    state: run_options.StateOption = None,
    start: run_options.FromOption = None,
    keep: run_options.KeepOption = None,
    force: run_options.ForceOption = False,
    memory: option.MemoryOption = None,
    time: option.TimeOption = None,
    cpus: option.CpusOption = None,
    vm: option.TargetOption = None,
    runtime: option.RuntimeOption = None,
    template: option.TemplateOption = None,
    resume: run_options.ResumeOption = None,
    checkpoint_every: run_options.CheckpointOption = None,
    plan: run_options.PlanOption = False,
    detach: run_options.DetachOption = False,
    top: run_options.TopOption = 20,
    every: run_options.AllOption = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Run circuits with the right method, within limits; Ctrl-C stops them within a second.

    Nothing needs to be set up: a process VM is started, runs the circuits and goes away; --vm names one
    that there is. A circuit with free parameters is run for each row of --params. Each run is a job whose
    result stays: see `qvirt job list`. A long one can be saved on its way (--checkpoint-every,
    `qvirt job checkpoint`) and gone on with later, here or in another VM (--resume). A VM can keep the
    state that a circuit ends in (--keep), and begin another in it (--from).
    """
    from qvirt.cli.requests import Asked
    from qvirt.cli.session import Target

    if detach:
        raise Unavailable(NO_DAEMON, hint="in a shell, `qvirt run ... &` runs it in the background")
    asked = Asked(
        shots, seed, engine, method, precision, observable, noise, probabilities, per_shot, memory, time
    )
    asked = replace(asked, device=device, start=start, keep=keep, overwrite=force)
    target = Target(vm, runtime, template, cpus, quiet)
    view = View(format, quiet, None if every else top, state)
    saving = _saving(checkpoint_every, quiet)
    if resume is not None:
        _check_resumed(circuits, asked, plan or params is not None)
        _resume(resume, target, parse_seconds(time) if time else None, view, saving)
    else:
        _check_circuits(circuits or [], state)
        _check_states(circuits or [], asked, target)
        asked = replace(asked, state=state is not None)
        _run(circuits or [], asked, params, target, plan, view, saving)


def _run(
    circuits: list[str],
    asked: Asked,
    params: Path | None,
    target: Target,
    plan: bool,
    view: View,
    saving: Saving | None,
) -> None:
    from qvirt.cli import session, sources
    from qvirt.cli.parameters import read_sweep
    from qvirt.cli.plan import show_plans

    with session.opened_host() as host:
        options = asked.options(host.settings)
        sweep = None if params is None else read_sweep(params, circuits)
        batch = sources.read(circuits)
        suits = session.roomy(host, batch, options, sweep)
        with session.target_vm(host, target, suits) as machine:
            options = machine.spec.applied_to(options)
            if plan:
                show_plans(host, machine, batch, options, sweep, view.format, view.quiet)
            else:
                jobs = ((host.submit(source, options, sweep), source) for source in batch)
                _run_batch(host, machine, jobs, view, saving)


def _resume(name: str, target: Target, time_limit: float | None, view: View, saving: Saving | None) -> None:
    from qvirt.cli import session

    with session.opened_host() as host:
        before = host.job(name)
        host.checkpoints.to_resume(before)
        if view.state is not None and not before.options.state:
            raise UsageError(f"job {before.id} was not asked for its state", hint="leave out --state")
        if before.options.start or before.options.keep:
            run_options.check_stays(target.vm)
        with session.target_vm(host, target) as machine:
            _run_batch(host, machine, [host.resume(before, time_limit)], view, saving)


def _saving(every: str | None, quiet: bool) -> Saving | None:
    from qvirt.cli import output
    from qvirt.host.loop import Saving

    return Saving(parse_seconds(every), output.notes(quiet)) if every else None


def _check_resumed(circuits: list[str] | None, asked: Asked, more: bool) -> None:
    """The job says what is run; only where, and for how long, is asked anew."""
    if circuits or more or any(getattr(asked, name) for name in asked.__slots__ if name != "time_limit"):
        raise UsageError(
            "--resume goes on with what the job was asked: no circuit and no option of its own",
            hint="with it go --vm, --runtime, --template, --cpus, --time-limit and --checkpoint-every",
        )


def _check_circuits(circuits: list[str], state: Path | None) -> None:
    if not circuits:
        raise UsageError(
            "no CIRCUIT was named", hint="name files or folders, or a job to go on with: --resume JOB"
        )
    if state is None:
        return
    if len(circuits) > 1 or Path(circuits[0]).is_dir():
        raise UsageError("--state takes the state of one circuit, and several were named")
    if not state.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {state.parent} for the state file")


def _check_states(circuits: list[str], asked: Asked, target: Target) -> None:
    if asked.start or asked.keep:
        run_options.check_stays(target.vm)
    if asked.keep and (len(circuits) > 1 or Path(circuits[0]).is_dir()):
        raise UsageError("--keep keeps the state of one circuit, and several were named")
    if asked.overwrite and not asked.keep:
        raise UsageError("--force lets --keep replace a state", hint="name it: --keep NAME")


def _run_batch(
    host: Host,
    vm: VM,
    jobs: Iterable[tuple[Job, CircuitSource]],
    view: View,
    saving: Saving | None,
) -> None:
    """Every circuit is run, whatever becomes of the others."""
    from qvirt.cli.progress import ProgressBar
    from qvirt.cli.render import RunPrinter

    failures = Failures()
    with RunPrinter(view.format, view.top, view.quiet) as printer:
        for job, source in jobs:
            with ProgressBar(source.name, view.quiet) as bar:
                finished = host.run(job, source, vm, bar, saving)
            if view.state is not None and finished.result is not None:
                _copy_state(host, finished, view.state)
            printer.show(finished)
            if finished.error is not None:
                failures.add(from_info(finished.error))
    failures.end()


def _copy_state(host: Host, finished: Finished, target: Path) -> None:
    try:
        shutil.copyfile(host.paths.state(finished.job.id), target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
