"""The record of a VM's process in the VM's folder, which every later command finds it by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qvirt.errors import QvirtError
from qvirt.model.wire import from_json
from qvirt.paths import Paths
from qvirt.runtimes.pids import birth
from qvirt.store.files import state_errors


@dataclass(frozen=True, slots=True)
class Running:
    """``birth`` tells the process from a later one of the same number.

    ``origin`` says how a guest of QEMU came to be: booted, or a copy of a memory template.
    """

    pid: int
    birth: str
    cpus: tuple[int, ...]
    origin: str = ""


def read_running(path: Path) -> Running | None:
    """The process of ``path`` where it still runs."""
    try:
        running = from_json(path.read_bytes(), Running)
    except (OSError, QvirtError):
        return None
    return running if birth(running.pid) == running.birth else None


def taken_cpus(paths: Paths) -> Iterator[int]:
    """The CPUs that the VMs of this state directory are bound to, one after another."""
    for path in paths.vms.glob("*/process.json"):
        running = read_running(path)
        if running is not None:
            yield from running.cpus


def write(path: Path, data: bytes) -> None:
    """A private file, whole or not at all. Raises StateError."""
    new = path.with_name(f"{path.name}.new")
    try:
        with state_errors(path):
            new.touch(mode=0o600)
            new.write_bytes(data)
            new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
