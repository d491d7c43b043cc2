"""qvirt draw"""

from __future__ import annotations

import shutil
from secrets import token_hex
from typing import Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output
from qvirt.cli.failures import Failures


def draw(
    circuits: option.CircuitsArgument,
    columns: Annotated[int | None, typer.Option(min=20, help="Width. [default: the terminal's]")] = None,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Draw circuits as text."""
    from qvirt.cli import session, sources
    from qvirt.model.order import Order, OrderKind

    batch = sources.read(circuits)
    width = columns or shutil.get_terminal_size((100, 24)).columns
    drawings = []
    failures = Failures()
    with session.opened_host() as host, session.embedded_vm(host) as vm:
        for source in batch:
            with failures.noted():
                answer = host.ask(Order(token_hex(5), OrderKind.DRAW, source, columns=width), vm)
                drawings.append((source.name, answer.drawing or ""))
    if format is option.OutputFormat.JSON:
        output.document("qvirt.draw/1", drawings=[{"file": name, "text": text} for name, text in drawings])
    else:
        for name, text in drawings:
            output.result(f"{name}:\n{text}" if len(batch) > 1 else text)
    failures.end()
