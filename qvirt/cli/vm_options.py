"""Options of `qvirt vm`."""

from __future__ import annotations

from typing import Annotated

import typer

from qvirt.model.run import Method, Precision

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-'.")]
QubitsOption = Annotated[
    int | None, typer.Option("--qubits", min=1, help="Give the memory that so many need.")
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", "-m", metavar="SIZE", help="For all in it: 512m, 8g.")
]
CpusOption = Annotated[int | None, typer.Option(min=1, help="How many CPUs it may use. [default: 1]")]
MethodOption = Annotated[Method | None, typer.Option(help="Used where a run names none.")]
PrecisionOption = Annotated[Precision | None, typer.Option(help="Used where a run names none.")]
GpuOption = Annotated[bool, typer.Option("--gpu", help="Give it the GPUs of this machine.")]
TtlOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Destroy it this long after its creation: 2h.")
]
IdleOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop it after this long without work: 30m.")
]
RestartOption = Annotated[
    str | None, typer.Option(metavar="POLICY", help="no, always or on-failure:N. [default: no]")
]
SparesOption = Annotated[
    int | None, typer.Option(min=0, max=8, help="Warm workers kept beside the one. [default: 1]")
]
EnvironmentOption = Annotated[
    list[str] | None, typer.Option("--env", metavar="K=V", help="Set in the guest. Repeatable.")
]
VolumeOption = Annotated[
    list[str] | None,
    typer.Option("--volume", metavar="HERE:THERE", help="Show a folder in it, read-only. Repeatable."),
]
ImageOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Of `qvirt image list`. [default: the current one]")
]
ColdOption = Annotated[bool, typer.Option("--cold", help="Boot it, even where one is warm.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Come back when the guest answers.")]
TimeoutOption = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="How long to wait for the guest.")
]
