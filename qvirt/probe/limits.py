"""The CPUs and the memory that this process may really use: the tightest of all limits, by name."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from qvirt.model.hardware import Usable
from qvirt.probe.cgroups import cpu_quotas, memory_limits


def usable(root: Path = Path("/")) -> Usable:
    """Takes well under a millisecond or two. ``root`` is where /proc and /sys are looked for."""
    cpus, cpus_from = min(_cpu_limits(root), key=lambda limit: limit[0])
    total, available = physical_memory(root)
    groups = memory_limits(root)
    rlimits = _rlimits()
    limits = [
        (total, "physical memory"),
        *((group.limit, group.source) for group in groups),
        *rlimits,
    ]
    memory, memory_from = min(limits, key=lambda limit: limit[0])
    free = [available, memory, *(group.available for group in groups)]
    return Usable(cpus, cpus_from, memory, memory_from, min(free))


def physical_memory(root: Path = Path("/")) -> tuple[int, int]:
    """Bytes of memory of this machine, and bytes that programs could have without swapping."""
    if sys.platform != "linux":
        import psutil

        memory = psutil.virtual_memory()
        return memory.total, memory.available
    amounts = {}
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        amounts[name] = int(rest.split()[0]) << 10
    # MemAvailable came with Linux 3.14; gVisor and other stand-ins may lack it.
    return amounts["MemTotal"], amounts.get("MemAvailable", amounts["MemFree"])


def _cpu_limits(root: Path) -> list[tuple[float, str]]:
    limits: list[tuple[float, str]] = [(os.cpu_count() or 1, "all CPUs of this machine")]
    if sys.platform == "linux":
        limits.append((len(os.sched_getaffinity(0)), "affinity mask"))
    return limits + [(quota.cpus, quota.source) for quota in cpu_quotas(root)]


def _rlimits() -> list[tuple[int, str]]:
    limits = []
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft != resource.RLIM_INFINITY:
            limits.append((soft, name))
    return limits
