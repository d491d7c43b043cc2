"""qvirt vm: exec, console"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qvirt.cli import options as option


def execute(
    vm: option.VMArgument,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="After --.")],
) -> None:
    """Run a command inside a VM; its exit status is ours."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        done = host.vms.execute(host.vms.find(vm), command)
    sys.stdout.buffer.write(done.output)
    sys.stderr.buffer.write(done.errors)
    raise typer.Exit(done.status)


def console(vm: option.VMArgument) -> None:
    """Attach this terminal to the serial console of a VM; Ctrl-] leaves it."""
    from qvirt.cli.session import opened_host
    from qvirt.cli.terminal import attach

    with opened_host() as host:
        socket = host.vms.console(host.vms.find(vm))
    attach(socket)


def add_to(app: typer.Typer) -> None:
    app.command("exec", context_settings={"ignore_unknown_options": True})(execute)
    app.command()(console)
