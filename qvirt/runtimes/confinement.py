"""The limits of a guest's process: put in place from outside, and read back from the system."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from qvirt.errors import VMFailed
from qvirt.runtimes import cgroups
from qvirt.units import show_bytes


def hold(pid: int, memory: int, group: Path | None, cpus: tuple[int, ...]) -> None:
    """Put the limits in place. Where the cgroup cannot be had the workers' own rlimits must do."""
    if cpus:
        os.sched_setaffinity(pid, cpus)
    if group is not None:
        try:
            cgroups.create(group, memory)
            cgroups.enter(group, pid)
        except OSError:
            cgroups.remove(group)


def change(pids: Iterable[int], memory: int, group: Path | None, cpus: tuple[int, ...]) -> None:
    """Other limits for processes that run. Raises VMFailed where they use more memory than that already."""
    if group is not None and cgroups.members(group):
        try:
            cgroups.set_memory(group, memory)
        except OSError as error:
            raise VMFailed(
                f"the memory cannot be limited to {show_bytes(memory)}: {error.strerror}",
                hint="it may use more already: stop the VM first, or give it more",
            ) from None
    for pid in pids if cpus else ():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, cpus)


def held(pid: int, memory: int, group: Path | None) -> Iterator[str]:
    """Each limit that holds now, and by what means."""
    if group is not None and pid in cgroups.members(group):
        limit = cgroups.memory_limit(group)
        yield f"memory: {show_bytes(limit or 0)} (cgroup v{cgroups.version(group)})"
    elif sys.platform == "linux":
        yield f"memory: {show_bytes(memory)} (RLIMIT_DATA of each worker)"
    with suppress(ProcessLookupError, AttributeError):  # macOS binds no process to CPUs
        cpus = ", ".join(map(str, sorted(os.sched_getaffinity(pid))))
        yield f"cpus: {cpus} (affinity)"
    with suppress(OSError):
        if "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text():
            yield "privileges: none can be gained (no_new_privs)"


def free_cpus(count: int, taken: Iterator[int]) -> tuple[int, ...]:
    """Those of our CPUs that appear in ``taken`` least often; none where processes cannot be bound."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    load = Counter(taken)
    return tuple(sorted(sorted(os.sched_getaffinity(0)), key=lambda cpu: load[cpu])[:count])
