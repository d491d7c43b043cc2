"""The state of a machine, its memory and devices, into a file and out of it (QEMU's migration).

The file is opened here and handed over: QEMU in its sandbox can neither start a program nor open what it
likes. Memory that is a shared mapping of a file stays where it is (``x-ignore-shared``).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from qvirt.errors import VMFailed
from qvirt.runtimes.qemu.qmp import Monitor

PAUSE = 0.003
BANDWIDTH = 16 << 30
"""Bytes a second. QEMU's own limit of 128 MiB/s is meant for networks."""

FAILED = frozenset({"failed", "cancelled", "cancelling"})


def save(monitor: Monitor, file: Path, seconds: float) -> None:
    """Write the state of a machine that is stopped. Raises VMFailed; half a file does not stay."""
    _leave_shared_memory(monitor)
    monitor.execute("migrate-set-parameters", max_bandwidth=BANDWIDTH)
    new = file.with_name(f"{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        monitor.give(descriptor, "state")
        monitor.execute("migrate", uri="fd:state")
        _until_saved(monitor, seconds)
        new.replace(file)
    finally:
        os.close(descriptor)
        new.unlink(missing_ok=True)


def load(monitor: Monitor, file: Path, seconds: float) -> None:
    """Have a machine that waits for its state read it, and run."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise VMFailed(f"the saved state {file} cannot be read: {error.strerror}") from error
    try:
        _leave_shared_memory(monitor)
        monitor.give(descriptor, "state")
        monitor.execute("migrate-incoming", uri="fd:state")
        _until_loaded(monitor, seconds)
    finally:
        os.close(descriptor)
    monitor.execute("cont")


def _leave_shared_memory(monitor: Monitor) -> None:
    shared = {"capability": "x-ignore-shared", "state": True}
    monitor.execute("migrate-set-capabilities", capabilities=[shared])


def _until_loaded(monitor: Monitor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while monitor.status == "inmigrate":
        if time.monotonic() > deadline:
            raise VMFailed(f"QEMU did not read the state of the machine within {seconds:.0f} s")
        time.sleep(PAUSE)


def _until_saved(monitor: Monitor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (found := monitor.execute("query-migrate")).get("status") != "completed":
        if found.get("status") in FAILED:
            raise VMFailed(f"QEMU could not save the machine: {found.get('error-desc', 'no reason given')}")
        if time.monotonic() > deadline:
            monitor.execute("migrate_cancel")
            raise VMFailed(f"QEMU did not save the machine within {seconds:.0f} s")
        time.sleep(PAUSE)
