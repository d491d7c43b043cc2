"""One process at a time changes a VM, or fills the pools of those that are kept warm."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qvirt.store.files import state_errors


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Waits while another process holds it, or yields False then; the lock goes with the process."""
    with state_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
