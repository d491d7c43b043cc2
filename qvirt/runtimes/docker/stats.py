"""What a container uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qvirt.runtimes.contract import Stats
from qvirt.runtimes.usage import usage

_CACHE = ("total_inactive_file", "inactive_file")
"""Names, in cgroup v1 and v2, of memory that can be had back at once."""


def stats(told: Mapping[str, Any], pid: int) -> Stats:
    """``told`` is what the engine counts. Memory is the proportional set size of the processes where this
    process may read that, else what counts against the limit."""
    seconds = told["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    seen = usage(pid)
    if seen.processes:
        return replace(seen, cpu_seconds=seconds)
    used = told["memory_stats"]
    cache = next((used["stats"][name] for name in _CACHE if name in used.get("stats", {})), 0)
    return Stats(used.get("usage", 0) - cache, seconds, (told.get("pids_stats") or {}).get("current", 1))
