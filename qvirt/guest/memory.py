"""How much of the VM's memory is left for a simulation, and whether the kernel has run out of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

WORKER_BASE = 80 << 20
"""Bytes that a worker takes before it runs anything, for one that has not come that far yet."""

LIBRARY_PAGES = 32 << 20
"""Bytes of program code that must stay in memory for the VM to make any speed."""


def left(total: int, workers: Iterable[int], expected: int) -> int:
    """Bytes of ``total`` that the guest and its workers leave; ``expected`` workers are counted at least.

    A machine has never more than its kernel says, which in a VM of QEMU has taken its own share already.
    """
    total = min(total, machine() or total)
    used = [max(private(pid), WORKER_BASE) for pid in workers]
    used += [WORKER_BASE] * (expected - len(used))
    return max(0, total - private(os.getpid()) - sum(used) - LIBRARY_PAGES)


def machine() -> int | None:
    """Bytes that the kernel has for processes; None where the system does not say."""
    try:
        name, amount, *_ = Path("/proc/meminfo").read_text().split(maxsplit=2)
    except (OSError, ValueError):
        return None
    return int(amount) << 10 if name == "MemTotal:" else None


def private(pid: int) -> int:
    """Bytes of a process that are no file's and so cannot be had back; 0 where the system does not say."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def oom_kills() -> int:
    """How often the kernel has ended a process because memory ran out: one of this VM's cgroup, and of the
    whole machine where there is no cgroup, as in a QEMU guest."""
    try:
        lines = _oom_file().read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


@cache
def _oom_file() -> Path:
    from qvirt.probe.cgroups import chain  # here, so that it does not slow down the start

    group = next(iter(chain("memory")), None)
    if group is None:
        return Path("/proc/vmstat")
    return group.folder / ("memory.events" if group.version == 2 else "memory.oom_control")
