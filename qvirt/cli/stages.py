"""The stages of something long, each with the time that it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qvirt.cli import output
from qvirt.units import show_seconds


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str], None]]:
    """What it yields is told of each stage as it begins; the times are printed as stages end."""
    running: list[tuple[str, float]] = []
    live = not quiet and sys.stderr.isatty()

    def end(mark: str) -> None:
        if running and not quiet:
            stage, began = running.pop()
            start = "\r\x1b[K" if live else ""
            output.note(f"{start}  {stage}: {show_seconds(time.monotonic() - began)}{mark}")

    def tell(stage: str) -> None:
        end("")
        running.append((stage, time.monotonic()))
        if live:
            sys.stderr.write(f"  {stage} ...")
            sys.stderr.flush()

    try:
        yield tell
    except BaseException as error:
        end(", then it was stopped" if isinstance(error, KeyboardInterrupt) else ", then it failed")
        raise
    end("")
