"""A progress bar on stderr, where stderr is a terminal and the work takes long enough to need one."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from qvirt.model import result as model
from qvirt.model.order import OrderStatus

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 0.7


class ProgressBar:
    """Call it with each status; it leaves nothing on the screen."""

    def __init__(self, label: str, quiet: bool) -> None:
        self._label = label
        self._shown = not quiet and sys.stderr.isatty()
        self._begin = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, status: OrderStatus) -> None:
        if not self._shown or time.monotonic() - self._begin < PATIENCE_SECONDS:
            return
        if self._bar is None:
            self._start()
        if self._bar is not None and self._task is not None:
            progress = status.progress
            seconds = progress.seconds
            expected = _expected_seconds(status)
            fraction = progress.fraction
            if fraction is None and expected:
                fraction = min(0.99, seconds / expected)
            self._bar.update(
                self._task,
                description=": ".join(filter(None, [self._label, _doing(progress)])),
                total=1.0,
                completed=fraction or 0.0,
            )

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("(Ctrl-C stops it)"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._label, total=1.0)


def _doing(progress: model.Progress) -> str:
    from qvirt.cli.render_job import position_text

    return " ".join(filter(None, [progress.phase, position_text(progress.position)]))


def _expected_seconds(status: OrderStatus) -> float | None:
    """The prediction for the last stage, where an engine says nothing of its progress itself."""
    if status.plan is None or not status.plan.stages:
        return None
    last = status.plan.stages[-1].attempts[0]
    return last.seconds if last.certain else None
