"""qvirt vm warm"""

from __future__ import annotations

from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output, vm_options
from qvirt.cli.stages import stages
from qvirt.errors import UsageError
from qvirt.units import parse_bytes

NAME = "warm"


def warm(
    count: Annotated[
        int | None, typer.Option(min=0, max=64, help="Keep so many; 0 keeps none. [default: as it was]")
    ] = None,
    template: option.TemplateOption = None,
    runtime: option.RuntimeOption = None,
    qubits: vm_options.QubitsOption = None,
    memory: vm_options.MemoryOption = None,
    cpus: vm_options.CpusOption = None,
    gpu: vm_options.GpuOption = False,
    spares: vm_options.SparesOption = None,
    image: vm_options.ImageOption = None,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Keep VMs up, with their engines loaded, that `qvirt vm create` then takes in a moment.

    One is taken where runtime, image, memory, CPUs, GPUs and warm workers are the same; another is made
    in its place. Without --count those that are lacking are made, and the pools listed; --count 0 alone
    removes all.
    """
    from qvirt.cli.render_vm import pools_text
    from qvirt.cli.session import opened_host
    from qvirt.host.specs import Wanted

    wanted = Wanted(
        name=NAME,
        runtime=runtime,
        qubits=qubits,
        memory=parse_bytes(memory) if memory else None,
        cpus=cpus,
        gpu=gpu,
        spares=spares,
        image=image,
    )
    described = template is not None or wanted != Wanted(NAME)
    if described and count is None:
        raise UsageError("say how many of them are to be kept: --count")
    with opened_host() as host, stages(quiet) as tell:
        if count is None:
            host.warm.fill(tell)
        elif count == 0 and not described:
            host.warm.empty()
        else:
            host.warm.keep(host.specify(wanted, template, tell), count, tell)
        pools = host.warm.filled()
    if format is option.OutputFormat.JSON:
        output.document("qvirt.pools/1", pools=pools)
    elif not quiet:
        output.result(pools_text(pools, format))


def add_to(app: typer.Typer) -> None:
    app.command()(warm)
