"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from qvirt.errors import StateError

SYNC_AFTER = 32 << 20
"""Octets of a file that are sent to the disk before the rest of it is there."""

_HINTS = {
    errno.ENOSPC: "free some space, or set QVIRT_HOME to a folder on another disk",
    errno.EDQUOT: "your quota is used up: free some space, or set QVIRT_HOME to a folder elsewhere",
    errno.EACCES: "make it yours, or set QVIRT_HOME to a folder that is",
    errno.EROFS: "set QVIRT_HOME to a folder that can be written",
}


@contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to keep a file into a StateError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"cannot keep {path}: {error.strerror or error}", hint=_HINTS.get(error.errno or 0)
        ) from error


def free_bytes(folder: Path) -> int:
    """On its disk, for us; 0 where that cannot be said."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _write(file: BinaryIO, chunks: Iterable[bytes]) -> int:
    """And sync; where it is much, the disk is at work while more of it comes."""
    from concurrent.futures import Future, ThreadPoolExecutor

    size = sent = 0
    syncing: Future[None] | None = None
    with ThreadPoolExecutor(1) as pool:
        for chunk in chunks:
            size += file.write(chunk)
            if size - sent >= SYNC_AFTER and (syncing is None or syncing.done()):
                # The system tells of what it could not write only once.
                if syncing is not None:
                    syncing.result()
                syncing, sent = pool.submit(os.fsync, file.fileno()), size
        if syncing is not None:
            syncing.result()
    file.flush()
    os.fsync(file.fileno())
    return size


def write_atomically(path: Path, chunks: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write beside ``path``, sync, rename over it; nothing is left on failure. Returns the bytes written."""
    with state_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                size = _write(file, chunks)
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return size
