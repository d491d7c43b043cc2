"""Which qvirt process something belongs to, so that what a dead one left can be told from what lives."""

from __future__ import annotations

import os


def me() -> str:
    return _name(os.getpid())


def alive(owner: str | None) -> bool:
    """Whether the process still runs; a new process that has taken its number is another one."""
    if not owner:
        return False
    pid = owner.partition(":")[0]
    return pid.isdecimal() and _name(int(pid)) == owner


def _name(pid: int) -> str:
    import psutil

    try:
        return f"{pid}:{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return f"{pid}:gone"
