"""Starting a worker process. Imports next to nothing: the first worker starts before all else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

ON_THE_WAY = 1 << 20
"""Octets that either end may send before the other reads, where the system grants so many."""

_live: set[int] = set()


class Spawned(NamedTuple):
    """A worker that was started; ``socket`` is the guest's end of its line."""

    popen: subprocess.Popen[bytes]
    socket: socket.socket


def spawn(threads: int, cold: bool, user: int | None = None) -> Spawned:
    """To be called from the main thread: a worker dies with the thread that started it.

    ``user`` is who it runs as, where this process may change that.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ON_THE_WAY)
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, "-m", "qvirt.guest.worker", str(os.getpid()), *(["--cold"] if cold else [])],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(threads),
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
        )
    _live.add(popen.pid)
    return Spawned(popen, ours)


def send_signal(pid: int, number: signal.Signals) -> None:
    """To a worker and all that it has started; nothing where it was buried already."""
    if pid in _live:
        with suppress(ProcessLookupError):
            os.killpg(pid, number)


def is_live(pid: int) -> bool:
    return pid in _live


def buried(pid: int) -> None:
    """The process was waited for: its number may be another's from now on."""
    _live.discard(pid)


def end_all() -> None:
    """End every worker of this process and wait until they are gone; from any thread."""
    pids = list(_live)
    for pid in pids:
        send_signal(pid, signal.SIGKILL)
    for pid in pids:
        with suppress(ChildProcessError):  # somebody else has just waited for it
            os.waitpid(pid, 0)


def _environment(threads: int) -> dict[str, str]:
    """Set before anything is imported: every library that has threads is told how many."""
    count = str(threads)
    return os.environ | {
        "QISKIT_IN_PARALLEL": "TRUE",
        "QISKIT_PARALLEL": "FALSE",
        "RAYON_NUM_THREADS": count,
        "OMP_NUM_THREADS": count,
        # Threads that spin while they wait take the cores from those that work: 20 times slower when busy.
        "GOMP_SPINCOUNT": "1000",
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        # Qiskit's allocator would reserve a GiB at once, which counts against RLIMIT_DATA.
        "MIMALLOC_ARENA_EAGER_COMMIT": "0",
    }
