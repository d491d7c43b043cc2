"""Telling a process from a later one that was given the same number."""

from __future__ import annotations

import sys
from pathlib import Path


def birth(pid: int) -> str | None:
    """What no other process of this number has had; None where none runs (a zombie does not)."""
    if sys.platform != "linux":
        return _birth_by_psutil(pid)
    try:
        # The name in parentheses may hold spaces and parentheses of its own.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Ticks since the start of the machine: unlike wall-clock time it does not move when the clock is set.
    return None if state in "ZX" else fields[18]


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it (SIGSTOP)."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _birth_by_psutil(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.1f}"
    except psutil.Error:
        return None
