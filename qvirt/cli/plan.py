"""qvirt plan"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

from qvirt.cli import options as option
from qvirt.cli import output, run_options
from qvirt.cli.failures import Failures
from qvirt.errors import from_info

if TYPE_CHECKING:
    from qvirt.host.host import Host
    from qvirt.model.circuit import CircuitSource
    from qvirt.model.estimate import Plan
    from qvirt.model.run import RunOptions
    from qvirt.model.sweep import Sweep
    from qvirt.model.vm import VM


def plan(
    circuits: option.CircuitsArgument,
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
    start: run_options.FromOption = None,
    memory: option.MemoryOption = None,
    time: option.TimeOption = None,
    cpus: option.CpusOption = None,
    vm: option.TargetOption = None,
    runtime: option.RuntimeOption = None,
    template: option.TemplateOption = None,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Say how a circuit would be run, at what cost and why; run nothing.

    Exit status 3 says that it does not fit.
    """
    from qvirt.cli import session, sources
    from qvirt.cli.parameters import read_sweep
    from qvirt.cli.requests import Asked

    asked = Asked(
        shots, seed, engine, method, precision, observable, noise, probabilities, per_shot, memory, time,
        device=device, start=start,
    )  # fmt: skip
    if start is not None:
        run_options.check_stays(vm)
    with session.opened_host() as host:
        options = asked.options(host.settings)
        sweep = None if params is None else read_sweep(params, circuits)
        batch = sources.read(circuits)
        target = session.Target(vm, runtime, template, cpus, quiet)
        with session.target_vm(host, target, session.roomy(host, batch, options, sweep)) as machine:
            show_plans(host, machine, batch, machine.spec.applied_to(options), sweep, format, quiet)


def show_plans(
    host: Host,
    vm: VM,
    batch: list[CircuitSource],
    asked: RunOptions,
    sweep: Sweep | None,
    format: option.OutputFormat,
    quiet: bool,
) -> None:
    """Print a plan for each circuit."""
    from qvirt.cli.progress import ProgressBar
    from qvirt.cli.render import plans_text
    from qvirt.model.order import Order, OrderKind

    plans: list[tuple[str, Plan]] = []
    failures = Failures()
    for source in batch:
        order = Order(token_hex(5), OrderKind.PLAN, source, asked, sweep=sweep)
        found = None
        with failures.noted(), ProgressBar(source.name, quiet) as bar:
            found = host.ask(order, vm, bar).plan
        if found is not None:
            plans.append((source.name, found))
            if found.refusal is not None:
                failures.add(from_info(found.refusal))
    if format is option.OutputFormat.JSON:
        output.document("qvirt.plan/1", plans=[{"file": name, "plan": found} for name, found in plans])
    elif plans:
        output.result(plans_text(plans, format))
    failures.end()
