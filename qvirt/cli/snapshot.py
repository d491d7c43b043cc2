"""qvirt vm snapshot, clone, export, import"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output, vm_options
from qvirt.errors import StateError, UsageError
from qvirt.model.vm import VMState
from qvirt.units import parse_seconds, show_bytes

if TYPE_CHECKING:
    from qvirt.model.snapshot import Snapshot
    from qvirt.model.vm import VM

app = typer.Typer(
    no_args_is_help=True, help="Snapshots of a VM; they go with it, `qvirt vm export` keeps one in a file."
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The snapshot's name.")]
NewNameArgument = Annotated[str, typer.Argument(metavar="NEW", help="The new VM's name.")]


@app.command()
def create(vm: option.VMArgument, name: NameArgument, quiet: option.QuietOption = False) -> None:
    """Take a snapshot: what makes the VM, where its circuits stand, and its memory where its engine can."""
    from qvirt.cli.session import opened_host

    note = output.notes(quiet)
    with opened_host() as host:
        taken = host.snapshots.take(host.vms.find(vm), name, note)
    note(f"snapshot {taken.name} of {taken.spec.name}{', with its memory' if taken.engine else ''}")
    for job in taken.jobs:
        note(f"job {job.id}: {job.reason or f'saved, {show_bytes(job.octets)}'}")


@app.command("list")
def list_snapshots(vm: option.VMArgument, format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """List the snapshots of a VM, the oldest first."""
    from qvirt.cli.columns import columns, csv_text
    from qvirt.cli.render_job import when
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.snapshots.of(host.vms.find(vm))
    header = ("snapshot", "created", "runtime", "memory", "jobs", "qvirt")
    rows = [
        (
            each.name,
            when(each.created),
            each.spec.runtime,
            "yes" if each.engine else "no",
            str(sum(job.octets > 0 for job in each.jobs)),
            each.qvirt,
        )
        for each in found
    ]
    if format is option.OutputFormat.JSON:
        output.document("qvirt.snapshots/1", snapshots=found)
    elif format is option.OutputFormat.CSV:
        output.result(csv_text(header, rows))
    else:
        output.result(
            columns(header, rows) if rows else f"no snapshots: `qvirt vm snapshot create {vm} NAME`"
        )


@app.command()
def restore(
    vm: option.VMArgument,
    name: NameArgument,
    into: Annotated[
        str | None, typer.Option("--into", metavar="NEW", help="Make a new VM of it instead.")
    ] = None,
    runtime: option.RuntimeOption = None,
    timeout: vm_options.TimeoutOption = "120s",
    quiet: option.QuietOption = False,
) -> None:
    """Bring a VM back to a snapshot; with --into make a new one of it, on any runtime."""
    from qvirt.cli.session import made_vm, opened_host, print_vm

    if runtime and not into:
        raise UsageError("a VM stays on its runtime", hint="--into NEW makes a new VM on another")
    note = output.notes(quiet)
    patience = parse_seconds(timeout)
    with opened_host() as host:
        found = host.vms.find(vm)
        snapshot = host.snapshots.find(found, name)
        if into is None:
            made_vm(host, lambda tell: host.snapshots.restore(found, name, patience, tell), quiet)
        else:
            print_vm(_make(snapshot, into, runtime, timeout, quiet), option.OutputFormat.TABLE)
        jobs = host.snapshots.put_back(snapshot)
    note(f"restored {name} {'into ' + into if into else 'of ' + vm}")
    for job in jobs:
        note(f"job {job.id} can go on: `qvirt run --resume {job.id} --vm {into or vm}`")


@app.command()
def rm(vm: option.VMArgument, name: NameArgument) -> None:
    """Remove a snapshot."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        host.snapshots.remove(host.vms.find(vm), name)


def clone(
    vm: option.VMArgument,
    name: NewNameArgument,
    runtime: option.RuntimeOption = None,
    timeout: vm_options.TimeoutOption = "120s",
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Make another VM like one that there is, on the same runtime or another; with the states that it
    keeps, where it runs."""
    from qvirt.cli.session import opened_host, print_vm

    with opened_host() as host:
        found = host.vms.find(vm)
    made = _make(_present(found), name, runtime, timeout, quiet)
    print_vm(made, format)
    with opened_host() as host:
        if found.state is VMState.RUNNING:
            host.states.copy(found, made, output.notes(quiet))


def export(
    vm: option.VMArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written; - for standard output.")],
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="NAME", help="Of a snapshot, not of now.")
    ] = None,
) -> None:
    """Write what makes a VM to a file, for `qvirt vm import` here or elsewhere; states that it keeps are
    not in it (`qvirt state export`)."""
    from qvirt.cli.session import opened_host
    from qvirt.model.wire import to_json

    with opened_host() as host:
        found = host.vms.find(vm)
        chosen = host.snapshots.find(found, snapshot) if snapshot else _present(found)
        chosen = replace(chosen, states=())
    text = to_json(chosen, indent=2).decode() + "\n"
    if str(file) == "-":
        output.result(text)
        return
    try:
        file.write_text(text)
    except OSError as error:
        raise StateError(f"cannot write {file}: {error.strerror}") from None


def import_vm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `qvirt vm export` wrote.")],
    name: NewNameArgument,
    runtime: option.RuntimeOption = None,
    timeout: vm_options.TimeoutOption = "120s",
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Make a VM from an exported file, on any runtime."""
    from qvirt.cli.session import print_vm
    from qvirt.host.snapshots import load

    print_vm(_make(load(file), name, runtime, timeout, quiet), format)


def _present(vm: VM) -> Snapshot:
    from qvirt.model.snapshot import Snapshot
    from qvirt.version import __version__

    return Snapshot("now", vm.id, vm.spec, time.time(), __version__)


def _make(snapshot: Snapshot, name: str, runtime: str | None, timeout: str, quiet: bool) -> VM:
    from qvirt.cli.session import made_vm, opened_host

    patience = parse_seconds(timeout)
    with opened_host() as host:
        return made_vm(
            host, lambda tell: host.snapshots.made_from(snapshot, name, runtime, patience, tell), quiet
        )


def add_to(vm_app: typer.Typer) -> None:
    vm_app.add_typer(app, name="snapshot")
    vm_app.command()(clone)
    vm_app.command()(export)
    vm_app.command("import")(import_vm)
