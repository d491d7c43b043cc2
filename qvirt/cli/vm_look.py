"""qvirt vm: list, inspect, logs, stats"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output

if TYPE_CHECKING:
    from qvirt.host.host import Host
    from qvirt.model.vm import VM
    from qvirt.runtimes.contract import Stats

LOOK_AGAIN = 0.3
STATS_AGAIN = 1.0


def list_vms(
    everything: Annotated[
        bool,
        typer.Option("--all", "-a", help="Also those that live with a running command or are kept warm."),
    ] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """List the VMs with their true state (also: ls)."""
    from qvirt.cli.render_vm import vms_text
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        vms = host.vms.all() if everything else host.vms.lasting()
        warm = 0 if everything else len(host.warm.waiting())
    if format is option.OutputFormat.JSON:
        output.document("qvirt.vms/1", vms=vms)
    else:
        output.result(vms_text(vms, format, time.time()))
    if warm and format is option.OutputFormat.TABLE:
        output.note(f"{warm} more kept warm for later: `qvirt vm list --all` shows them")


def inspect(vm: option.VMArgument, format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Show what a VM is, which limits hold and by what means."""
    from qvirt.cli.render_vm import vm_text
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.vms.find(vm)
        seen = host.vms.inspect(found)
        powers = host.vms.capabilities(found)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.vm/1", vm=found, limits=seen.limits, pid=seen.pid, capabilities=powers)
    else:
        output.result(vm_text(found, seen, powers, time.time()))


def logs(
    vm: option.VMArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as it grows; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Print what the guest of a VM has printed."""
    from qvirt.cli.session import opened_host
    from qvirt.model.vm import VMState

    with opened_host() as host:
        found = host.vms.find(vm)
        shown = host.vms.logs(found)
        sys.stdout.write(shown)
        while follow and host.vms.inspect(found).state in (VMState.RUNNING, VMState.PAUSED):
            sys.stdout.flush()
            time.sleep(LOOK_AGAIN)
            now = host.vms.logs(found)
            sys.stdout.write(now[len(shown) :] if now.startswith(shown) else now)
            shown = now


def stats(
    vms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VM]...", help="Names or ids; all where none.", autocompletion=option.complete_vm
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One reading, not live.")] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Show memory, CPU and processes, live on a terminal until Ctrl-C."""
    from qvirt.cli.render_vm import stats_text
    from qvirt.cli.session import opened_host

    live = not once and format is option.OutputFormat.TABLE and sys.stdout.isatty()
    with opened_host() as host:
        before: dict[str, Stats] = {}
        began = time.monotonic()
        while True:
            found = [host.vms.find(name) for name in vms] if vms else host.vms.lasting()
            readings = [(vm, _reading(host, vm)) for vm in found]
            now = time.monotonic()
            if format is option.OutputFormat.JSON:
                output.document("qvirt.stats/1", vms=[{"vm": vm.spec.name, "stats": s} for vm, s in readings])
                return
            text = stats_text(readings, before, now - began, format)
            output.result(f"\033[2J\033[H{text}" if live else text)
            if not live:
                return
            before, began = {vm.id: reading for vm, reading in readings}, now
            time.sleep(STATS_AGAIN)


def _reading(host: Host, vm: VM) -> Stats:
    """Of one that has ended nothing is asked: its engine may be away."""
    from qvirt.model.vm import VMState
    from qvirt.runtimes.contract import Stats

    return host.vms.stats(vm) if vm.state in (VMState.RUNNING, VMState.PAUSED) else Stats(0, 0.0, 0)


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_vms)
    app.command("ls", hidden=True)(list_vms)
    for command in (inspect, logs, stats):
        app.command()(command)
