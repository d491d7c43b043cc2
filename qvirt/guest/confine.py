"""What a process of the guest takes from itself before it touches a circuit."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

STACK = 64 << 20
"""Bytes: deep enough for parsers that recurse, small enough to end a runaway recursion."""

SLACK = 128 << 20
"""Bytes above base and limit: thread stacks, engine code, what a circuit takes before it is simulated."""

OOM_SCORE = 500
"""Where the memory of the VM runs out, the kernel ends a worker and not the guest."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def confine_worker(parent: int) -> None:
    """Die with the thread of ``parent`` that started this process; gain nothing, leave no core file."""
    no_new_privileges()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_STACK, STACK)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def limit_memory(amount: int) -> None:
    """Allocations of more than ``amount`` bytes above what this process has now fail (on Linux)."""
    data = _status("VmData")
    if data is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = data + amount + SLACK
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def memory_used() -> int:
    """Bytes resident now."""
    used = _status("VmRSS")
    return peak_memory() if used is None else used


def reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most bytes that were resident since ``reset_peak`` (where the system has none: since the start)."""
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _status(name: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return None


def _lower(kind: int, amount: int) -> None:
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or soft > amount:
        resource.setrlimit(kind, (amount, hard))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
