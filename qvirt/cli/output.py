"""Results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from qvirt.errors import ErrorInfo, QvirtError
from qvirt.model.wire import to_json, to_plain

errors_as_json = False
"""Set by ``--format json``, so that an error is one too, wherever it is raised."""


def result(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def document(schema: str, **fields: Any) -> None:
    """One JSON object with its schema's name first."""
    result(to_json({"schema": schema, **to_plain(fields)}, indent=2).decode())


def note(text: str) -> None:
    sys.stderr.write(text + "\n")


def notes(quiet: bool) -> Callable[[str], None]:
    """``note``, or nothing where nobody wants any."""
    return (lambda text: None) if quiet else note


def error(failure: QvirtError) -> None:
    if errors_as_json:
        body = to_json({"schema": "qvirt.error/1", "error": to_plain(failure.info())}, indent=2)
        sys.stderr.write(body.decode() + "\n")
    else:
        sys.stderr.write(describe(failure.info()) + "\n")


def describe(info: ErrorInfo) -> str:
    """``file:line:column: what happened`` and, on the next line, what to do."""
    place = ":".join(str(part) for part in (info.file, info.line, info.column) if part is not None)
    text = f"qvirt: {place + ': ' if place else ''}{info.message}"
    return f"{text}\n  hint: {info.hint}" if info.hint else text
