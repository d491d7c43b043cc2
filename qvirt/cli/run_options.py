"""Options that only ``qvirt run`` has, and one of ``qvirt plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.errors import UsageError

CircuitsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="CIRCUIT", help=option.CIRCUITS, show_default=False)
]
StateOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the state before the last measurements as .npy."),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME", help="Begin in this state that the VM keeps: see `qvirt state`."),
]
KeepOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Have the VM keep the state before the last measurements."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Let --keep replace a state of that name.")]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="JOB",
        help="Go on with a job that was stopped, from its checkpoint, to the same counts.",
        autocompletion=option.complete_job,
    ),
]
CheckpointOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Save where the circuit stands this often: 30s, 5m.")
]
PlanOption = Annotated[bool, typer.Option("--plan", help="Say what would be done, and do not do it.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Not in this version: it needs the daemon.")]
TopOption = Annotated[int, typer.Option(min=1, help="Show this many of the commonest outcomes.")]
AllOption = Annotated[bool, typer.Option("--all", help="Show every outcome.")]


def check_stays(vm: str | None) -> None:
    """Raises UsageError where no VM was named that could keep a state."""
    if vm is None:
        raise UsageError(
            "--keep and --from are about the states of a VM that stays",
            hint="name one with --vm; `qvirt vm create NAME` makes one",
        )
