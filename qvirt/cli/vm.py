"""qvirt vm: the life of virtual machines"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output, snapshot, vm_inside, vm_look, vm_options, vm_warm
from qvirt.cli.failures import Failures
from qvirt.cli.stages import stages
from qvirt.errors import UsageError
from qvirt.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from qvirt.host.host import Host
    from qvirt.host.vms import Teller
    from qvirt.model.vm import VM

app = typer.Typer(
    no_args_is_help=True, help="Virtual machines: made once, kept until destroyed, reached by name."
)
vm_look.add_to(app)
vm_inside.add_to(app)
vm_warm.add_to(app)
snapshot.add_to(app)

VMsArgument = Annotated[
    list[str], typer.Argument(metavar="VM", help="Names or ids.", autocompletion=option.complete_vm)
]


@app.command()
def create(
    name: vm_options.NameArgument,
    template: option.TemplateOption = None,
    runtime: option.RuntimeOption = None,
    qubits: vm_options.QubitsOption = None,
    memory: vm_options.MemoryOption = None,
    cpus: vm_options.CpusOption = None,
    method: vm_options.MethodOption = None,
    precision: vm_options.PrecisionOption = None,
    gpu: vm_options.GpuOption = False,
    ttl: vm_options.TtlOption = None,
    idle_stop: vm_options.IdleOption = None,
    restart: vm_options.RestartOption = None,
    spares: vm_options.SparesOption = None,
    env: vm_options.EnvironmentOption = None,
    volume: vm_options.VolumeOption = None,
    image: vm_options.ImageOption = None,
    cold: vm_options.ColdOption = False,
    wait: vm_options.WaitOption = True,
    timeout: vm_options.TimeoutOption = "120s",
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Make a virtual machine and start it.

    A number of qubits without memory gives the memory that their state needs. What cannot fit is refused
    before anything is made, and what was half made is removed.
    """
    from qvirt.cli.session import made_vm, opened_host, print_vm
    from qvirt.host.specs import Wanted

    wanted = Wanted(
        name=name,
        runtime=runtime,
        qubits=qubits,
        memory=parse_bytes(memory) if memory else None,
        cpus=cpus,
        method=method,
        precision=precision,
        gpu=gpu,
        ttl=parse_seconds(ttl) if ttl else None,
        idle_stop=parse_seconds(idle_stop) if idle_stop else None,
        restart=restart,
        spares=spares,
        image=image,
        environment=_environment(env or []),
        volumes=tuple(volume or ()),
        warm=not cold,
    )
    patience = parse_seconds(timeout)
    with opened_host() as host:
        vm = made_vm(
            host, lambda tell: host.make_vm(wanted, template, patience if wait else None, tell), quiet
        )
    print_vm(vm, format)


def destroy(
    vms: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VM]...", help="Names or ids.", autocompletion=option.complete_vm),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every VM that is kept, also warm.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also while it runs a circuit.")] = False,
    quiet: option.QuietOption = False,
) -> None:
    """Stop VMs and remove all of them: files, containers, networks, disks."""
    from qvirt.cli.session import opened_host

    if bool(vms) == everything:
        raise UsageError("name the VMs to destroy, or say --all")
    with opened_host() as host:
        names = [vm.id for vm in host.vms.stored()] if everything else vms or []
        try:
            _each(host, names, lambda vm: host.destroy_vm(vm, force=force), "destroyed", quiet)
        finally:
            if everything:
                host.warm.empty()


app.command()(destroy)
app.command("rm", hidden=True)(destroy)


@app.command()
def start(
    vms: VMsArgument, timeout: vm_options.TimeoutOption = "120s", quiet: option.QuietOption = False
) -> None:
    """Start VMs that are stopped or have failed."""
    patience = parse_seconds(timeout)
    _change(vms, lambda host, vm, tell: host.vms.start(vm, patience, tell), "started", quiet)


@app.command()
def stop(
    vms: VMsArgument,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Then end it by force.")] = "10s",
    quiet: option.QuietOption = False,
) -> None:
    """Stop VMs; they keep their name and place, and can be started again."""
    patience = parse_seconds(timeout)
    _change(vms, lambda host, vm, tell: host.vms.stop(vm, patience, tell), "stopped", quiet)


@app.command()
def restart(
    vms: VMsArgument, timeout: vm_options.TimeoutOption = "120s", quiet: option.QuietOption = False
) -> None:
    """Stop VMs and start them again."""
    patience = parse_seconds(timeout)

    def again(host: Host, vm: VM, tell: Teller) -> None:
        host.vms.start(host.vms.stop(vm, min(10.0, patience), tell), patience, tell)

    _change(vms, again, "restarted", quiet)


@app.command()
def pause(vms: VMsArgument, quiet: option.QuietOption = False) -> None:
    """Halt VMs where they are; they keep their memory and use no CPU."""
    _change(vms, lambda host, vm, tell: host.vms.pause(vm), "paused", quiet)


@app.command()
def resume(vms: VMsArgument, quiet: option.QuietOption = False) -> None:
    """Let paused VMs go on."""
    _change(vms, lambda host, vm, tell: host.vms.resume(vm), "resumed", quiet)


@app.command()
def resize(
    vm: option.VMArgument,
    memory: vm_options.MemoryOption = None,
    cpus: vm_options.CpusOption = None,
    quiet: option.QuietOption = False,
) -> None:
    """Give a VM other limits, while it runs where its runtime can."""
    from qvirt.cli.session import opened_host

    if memory is None and cpus is None:
        raise UsageError("say what it is to have: --memory, --cpus or both")
    with opened_host() as host:
        host.resize_vm(host.vms.find(vm), parse_bytes(memory) if memory else None, cpus)
    if not quiet:
        output.note(f"resized {vm}")


@app.command()
def rename(
    vm: option.VMArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
) -> None:
    """Give a VM another name."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        host.vms.rename(host.vms.find(vm), name)


@app.command()
def wait(
    vm: option.VMArgument, timeout: vm_options.TimeoutOption = "120s", quiet: option.QuietOption = False
) -> None:
    """Come back when the guest of a VM answers."""
    from qvirt.cli.session import Target, opened_host, target_vm

    patience = parse_seconds(timeout)
    with opened_host() as host, target_vm(host, Target(vm)) as found, stages(quiet) as tell:
        host.vms.wait(found, patience, tell)


@app.command()
def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Also memory templates that VMs could still be copies of.")
    ] = False,
    quiet: option.QuietOption = False,
) -> None:
    """Remove what no VM owns: leftovers of killed commands, VMs past their time to live or kept warm,
    memory templates of no use."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        removed = host.prune(everything)
    if not quiet:
        output.note(f"removed {', '.join(removed)}" if removed else "there was nothing to remove")


def _change(names: list[str], verb: Callable[[Host, VM, Teller], object], done: str, quiet: bool) -> None:
    """``verb`` may tell its stages."""
    from qvirt.cli.session import opened_host

    def change(vm: VM) -> None:
        with stages(quiet) as tell:
            verb(host, vm, tell)

    with opened_host() as host:
        _each(host, names, change, done, quiet)


def _each(host: Host, names: list[str], verb: Callable[[VM], object], done: str, quiet: bool) -> None:
    failures = Failures()
    for name in dict.fromkeys(names):
        with failures.noted():
            vm = host.vms.find(name)
            verb(vm)
            if not quiet:
                output.note(f"{done} {vm.spec.name}")
    failures.end()


def _environment(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {pair!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
