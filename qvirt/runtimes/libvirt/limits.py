"""What holds a domain: as libvirt was told, and as its process shows where that is on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu.limits import of_process
from qvirt.runtimes.qemu.records import Machine
from qvirt.runtimes.running import Running
from qvirt.units import show_bytes


def held(running: Running | None, machine: Machine, accelerator: Accelerator) -> Iterator[str]:
    yield f"memory: {show_bytes(machine.mebibytes << 20)} (the guest's own; QEMU takes more beside it)"
    yield f"disk: {show_bytes(machine.spec.disk)} of the guest's memory over a read-only image"
    if running is not None:
        yield from of_process(running.pid, machine.spec.cpus)
        yield f"start: {running.origin}"
    yield f"accelerator: {accelerator.name} ({accelerator.reason})"
    yield f"libvirt: {machine.uri}"
