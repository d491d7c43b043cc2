"""qvirt template: list, show"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output

app = typer.Typer(no_args_is_help=True, help="Templates: named sets of choices for new VMs.")


@app.command("list")
def list_templates(format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """List the templates; your own lie in templates/ of the configuration folder."""
    from qvirt.cli.columns import columns, csv_text
    from qvirt.host.templates import templates

    found = templates()
    if format is option.OutputFormat.JSON:
        output.document("qvirt.templates/1", templates=found)
        return
    header = ("name", "qubits", "runtime", "description")
    rows = [(t.name, str(t.qubits or ""), t.runtime or "", t.description) for t in found]
    output.result(csv_text(header, rows) if format is option.OutputFormat.CSV else columns(header, rows))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `qvirt template list`.")],
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Print a template's file."""
    from qvirt.host.templates import template

    found = template(name)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.template/1", template=found)
    else:
        output.result(f"# {found.file}\n{Path(found.file).read_text('utf-8')}")
