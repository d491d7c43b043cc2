"""Many things in one command: all of them are done, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from qvirt.cli import output
from qvirt.errors import QvirtError


class Failures:
    def __init__(self) -> None:
        self._all: list[QvirtError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What fails in the block is printed, and the command goes on."""
        try:
            yield
        except QvirtError as error:
            output.error(error)
            self.add(error)

    def add(self, error: QvirtError) -> None:
        """One that is told elsewhere."""
        self._all.append(error)

    def end(self) -> None:
        """The exit status of the command is the worst, which is the highest."""
        if self._all:
            raise typer.Exit(max(error.exit_status for error in self._all))
