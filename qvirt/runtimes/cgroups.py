"""A control group of our own, under one that we may write to, with a limit on memory.

Version 1: under this process's own group. Version 2 allows no processes in a group that hands a
controller down, so there the group is made beside this process's own, under the nearest group above
that hands memory down; but no limit is ever left behind by climbing past it.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from qvirt.probe.cgroups import Cgroup, chain

_LIMITS = {1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), 2: ("memory.max", "memory.swap.max")}
_V2_LIMITS = ("memory.max", "memory.high", "cpu.max", "pids.max", "cpuset.cpus")

PREFIX = "qvirt-"

SWEEP_AGE = 60.0
"""Seconds: a younger group may be empty because its VM is just being started."""

REMOVE_SECONDS = 5.0
PAUSE = 0.005


def parent(root: Path = Path("/")) -> Cgroup | None:
    """The group under which ours can be made."""
    for group in chain("memory", root):
        if _hands_memory_down(group) and os.access(group.folder, os.W_OK):
            return group
        if group.version == 1 or _is_limited(group):
            return None
    return None


def of_vm(parent: Cgroup, vm_id: str) -> Path:
    return parent.folder / f"{PREFIX}{vm_id}"


def create(folder: Path, memory: int) -> None:
    """Make the group, with ``memory`` bytes and no swap; it may be there already. Raises OSError."""
    _sweep(folder.parent)
    folder.mkdir(exist_ok=True)
    set_memory(folder, memory)


def set_memory(folder: Path, memory: int) -> None:
    """Raises OSError where it cannot be had: what is used now cannot be pressed below ``memory``."""
    limit, swap = _LIMITS[version(folder)]
    swap_limit = str(memory if swap.startswith("memory.memsw") else 0)
    with suppress(OSError):  # version 1 has memory and swap in one limit, which must be raised first
        (folder / swap).write_text(swap_limit)
    (folder / limit).write_text(str(memory))
    with suppress(OSError):  # a kernel that does not count swap has no such file
        (folder / swap).write_text(swap_limit)


def enter(folder: Path, pid: int) -> None:
    """Move a process, and what it will start, into the group. Raises OSError."""
    (folder / "cgroup.procs").write_text(str(pid))


def version(folder: Path) -> int:
    return 1 if (folder / _LIMITS[1][0]).exists() else 2


def memory_limit(folder: Path) -> int | None:
    try:
        return int((folder / _LIMITS[version(folder)][0]).read_text())
    except (OSError, ValueError):
        return None


def members(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def remove(folder: Path) -> None:
    """End what is left in the group and remove it; one that is gone is no error."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        for pid in members(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(PAUSE)


def _sweep(parent: Path) -> None:
    """Remove the empty groups of VMs whose qvirt was killed and whose state was thrown away.

    That of a stopped VM may go too: it is made again when the VM starts.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if not members(folder) and time.time() - folder.stat().st_mtime > SWEEP_AGE:
                folder.rmdir()


def _hands_memory_down(group: Cgroup) -> bool:
    return group.version == 1 or "memory" in _read(group.folder / "cgroup.subtree_control").split()


def _is_limited(group: Cgroup) -> bool:
    return any(_read(group.folder / name).split()[:1] not in ([], ["max"]) for name in _V2_LIMITS)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
