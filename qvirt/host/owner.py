"""Which qvirt process something belongs to, so that what a dead one left can be told from what lives."""

from __future__ import annotations

import os

from qvirt.runtimes.pids import birth


def me() -> str:
    return f"{os.getpid()}:{birth(os.getpid())}"


def alive(owner: str | None) -> bool:
    """Whether the process still runs; a new process that has taken its number is another one."""
    pid, _, born = (owner or "").partition(":")
    return pid.isdecimal() and birth(int(pid)) == born
