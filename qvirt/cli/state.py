"""qvirt state: list, show, export, import, rm"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output

if TYPE_CHECKING:
    from qvirt.model.state import KeptState

app = typer.Typer(
    no_args_is_help=True,
    help="States that a VM keeps between jobs: `qvirt run --keep NAME`, then `qvirt run --from NAME`.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The state's name.")]
_HEADER = ("state", "qubits", "precision", "size", "norm", "kept", "circuit")


@app.command("list")
def list_states(vm: option.VMArgument, format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """List the states that a VM keeps."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.states.of(host.vms.find(vm))
    if format is option.OutputFormat.JSON:
        output.document("qvirt.states/1", vm=vm, states=found)
    else:
        output.result(
            _text(found, format) if found else f"no states: `qvirt run CIRCUIT --vm {vm} --keep NAME`"
        )


@app.command()
def show(
    vm: option.VMArgument, name: NameArgument, format: option.FormatOption = option.OutputFormat.TABLE
) -> None:
    """Show what a kept state is: its qubits, what it was computed in, when and by which circuit."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.states.find(host.vms.find(vm), name)
    _show(vm, found, format)


@app.command()
def export(
    vm: option.VMArgument,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written, as .npy.")],
    quiet: option.QuietOption = False,
) -> None:
    """Write a kept state to an .npy file."""
    from qvirt.cli.session import opened_host
    from qvirt.units import show_bytes

    with opened_host() as host:
        octets = host.states.write(host.vms.find(vm), name, file)
    if not quiet:
        output.note(f"wrote {file}, {show_bytes(octets)}")


@app.command("import")
def import_state(
    vm: option.VMArgument,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Complex amplitudes of norm 1, as .npy.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a state of this name.")] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Have a VM keep the state that is in an .npy file."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.states.read(host.vms.find(vm), name, file, overwrite=force)
    _show(vm, found, format)


@app.command()
def rm(
    vm: option.VMArgument,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="The states' names.")],
) -> None:
    """Remove kept states."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        found = host.vms.find(vm)
        for name in names:
            host.states.remove(found, name)


def _show(vm: str, state: KeptState, format: option.OutputFormat) -> None:
    if format is option.OutputFormat.JSON:
        output.document("qvirt.state/1", vm=vm, state=state)
    else:
        output.result(_text([state], format))


def _text(states: list[KeptState], format: option.OutputFormat) -> str:
    from qvirt.cli.columns import columns, csv_text
    from qvirt.cli.render_job import when
    from qvirt.units import show_bytes

    if format is option.OutputFormat.CSV:
        rows = [
            (s.name, s.num_qubits, s.precision.value, s.octets, s.norm, s.created, s.circuit) for s in states
        ]
        return csv_text(_HEADER, rows)
    lines = [
        (
            state.name,
            str(state.num_qubits),
            state.precision.value,
            show_bytes(state.octets),
            f"{state.norm:.6f}",
            when(state.created),
            (state.circuit or "")[:12],
        )
        for state in states
    ]
    return columns(_HEADER, lines, right=("qubits", "size"))
