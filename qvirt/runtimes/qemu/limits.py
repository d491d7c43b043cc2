"""What holds a QEMU VM, read back from its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu.records import Machine
from qvirt.runtimes.running import Running
from qvirt.units import show_bytes


def held(running: Running, machine: Machine, accelerator: Accelerator) -> Iterator[str]:
    """Each limit that holds now, and by what means."""
    if f"{machine.mebibytes}M" in _words(running.pid):
        yield f"memory: {show_bytes(machine.mebibytes << 20)} (the guest's own; QEMU takes more beside it)"
    yield f"disk: {show_bytes(machine.spec.disk)} of the guest's memory over a read-only image"
    yield from of_process(running.pid, machine.spec.cpus)
    yield f"accelerator: {accelerator.name} ({accelerator.reason})"
    yield f"start: {running.origin}"


def of_process(pid: int, cpus: int) -> Iterator[str]:
    """What the kernel and QEMU's own options hold this process to."""
    with suppress(ProcessLookupError, AttributeError):  # macOS binds no process to CPUs
        bound = ", ".join(map(str, sorted(os.sched_getaffinity(pid))))
        yield f"cpus: {cpus} virtual, on {bound} (affinity)"
    if any("restrict=on" in word for word in _words(pid)):
        yield "network: no way out (restrict=on), one forwarded port of loopback"
    status = _status(pid)
    if "Seccomp:\t2" in status:
        yield "system calls: filtered (QEMU's sandbox: no new programs, no privileges)"
    if "NoNewPrivs:\t1" in status:
        yield "privileges: none can be gained (no_new_privs)"
    if "CapBnd:\t0000000000000000" in status:
        yield "capabilities: none"


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _status(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/status").read_text()
    return ""
