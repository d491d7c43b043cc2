"""qvirt version, qvirt completion"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output
from qvirt.version import __version__


class Shell(str, Enum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def show(wanted: bool) -> None:
    if wanted:
        output.result(f"qvirt {__version__}")
        raise typer.Exit


def version(format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """Show the versions of qvirt, of Python and of the engines."""
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    found: dict[str, str | None] = {"qvirt": __version__, "python": platform.python_version()}
    for package in ("qiskit", "qiskit-aer", "stim", "mqt-core", "qsimcirq", "torch"):
        try:
            found[package] = installed(package)
        except PackageNotFoundError:
            found[package] = None
    if format is option.OutputFormat.JSON:
        output.document("qvirt.version/1", versions=found)
    elif format is option.OutputFormat.CSV:
        output.result(
            "package,version\n" + "\n".join(f"{name},{number or ''}" for name, number in found.items())
        )
    else:
        output.result("\n".join(f"{name:<11} {number or 'not installed'}" for name, number in found.items()))


def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print a completion script: `eval "$(qvirt completion bash)"`."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    output.result(get_completion_script(prog_name="qvirt", complete_var="_QVIRT_COMPLETE", shell=shell.value))
