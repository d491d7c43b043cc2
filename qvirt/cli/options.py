"""Options that several commands share, each defined once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from qvirt.cli import output
from qvirt.model.run import Method, Precision


class OutputFormat(str, Enum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"

    def __str__(self) -> str:
        """typer reads what a callback returns once more."""
        return self.value


def _remember(chosen: OutputFormat) -> OutputFormat:
    output.errors_as_json = chosen is OutputFormat.JSON
    return chosen


FormatOption = Annotated[
    OutputFormat,
    typer.Option(
        "--format",
        "-f",
        help="How results are printed.",
        callback=_remember,
        is_eager=True,
        show_default=True,
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")]

CIRCUITS = "OpenQASM 2 or 3, JSON gate list or QPY: files, folders, globs, or - for standard input."
CircuitsArgument = Annotated[list[str], typer.Argument(metavar="CIRCUIT", help=CIRCUITS, show_default=False)]
ShotsOption = Annotated[
    int | None, typer.Option("--shots", "-s", help="How often to measure. [default: 1024]")
]
SeedOption = Annotated[int | None, typer.Option(help="The same seed gives the same counts.")]
EngineOption = Annotated[
    str | None, typer.Option(help="Use this engine: aer, stim, qsim, ddsim, torch or product.")
]
MethodOption = Annotated[Method | None, typer.Option(help="Use this simulation method.")]
PrecisionOption = Annotated[Precision | None, typer.Option(help="Of the amplitudes.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, gpu, cuda or mps; a GPU only in a VM that was given one.")
]
ParamsOption = Annotated[
    Path | None,
    typer.Option(
        "--params",
        metavar="FILE",
        help="CSV with values of the circuit's free parameters: names in its first line, then one row a set; "
        "- for standard input.",
    ),
]
ObservableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--observable",
        "-O",
        metavar="PAULIS",
        help="Expectation value of Paulis, qubit 0 rightmost: 'ZZI', '0.5*ZZ - XI'. Repeatable.",
    ),
]
NoiseOption = Annotated[
    str | None,
    typer.Option(
        metavar="RATES",
        help="depolarizing=P (or depolarizing_1q=, depolarizing_2q=), amplitude_damping=, phase_damping=, "
        "readout=P (or readout_0to1=, readout_1to0=), t1=, t2= and gate_time= in seconds, "
        "excited_population= (or temperature=, frequency=), comma-separated; or a JSON file of these, which "
        "may have Kraus matrices too.",
    ),
]
ProbabilitiesOption = Annotated[
    bool, typer.Option("--probabilities", help="Exact probabilities of the measured bits as well.")
]
PerShotOption = Annotated[
    bool, typer.Option("--per-shot", help="Keep the bits of every shot in their order.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        "-m",
        metavar="SIZE",
        help="Refuse what needs more: 512m, 2g. [default: 90 % of what is free]",
    ),
]
TimeOption = Annotated[
    str | None,
    typer.Option("--time-limit", "-t", metavar="TIME", help="Stop a circuit after this long: 30s, 5m."),
]
CpusOption = Annotated[int | None, typer.Option(min=1, help="How many CPUs to use. [default: all usable]")]


def complete_vm(incomplete: str) -> list[tuple[str, str]]:
    """Names for the shell's completion, from the store alone: no engine is asked."""
    from qvirt.cli.session import opened_host
    from qvirt.errors import QvirtError

    try:
        with opened_host() as host:
            found = [vm for vm in host.vms.stored() if vm.spec.name.startswith(incomplete)]
    except QvirtError:
        return []
    return [(vm.spec.name, f"{vm.spec.runtime}, {vm.state.value}") for vm in found]


def complete_job(incomplete: str) -> list[tuple[str, str]]:
    """Ids for the shell's completion."""
    from qvirt.cli.session import opened_host
    from qvirt.errors import QvirtError

    try:
        with opened_host() as host:
            jobs = [job for job in host.jobs(100) if job.id.startswith(incomplete)]
    except QvirtError:
        return []
    return [(job.id, f"{job.name} ({job.state.value})") for job in jobs]


VMArgument = Annotated[
    str, typer.Argument(metavar="VM", help="A VM's name or id.", autocompletion=complete_vm)
]
TargetOption = Annotated[
    str | None,
    typer.Option("--vm", metavar="VM", help="Run in this VM, by name or id.", autocompletion=complete_vm),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="NAME", help="Make the VM of this template: see `qvirt template list`."
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime", "-r", help="Where it lives: process, docker, qemu, libvirt or auto. [default: process]"
    ),
]
