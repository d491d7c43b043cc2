"""A host, and a process VM that lives as long as one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

from qvirt import settings
from qvirt.errors import DoesNotFit
from qvirt.host.host import Host
from qvirt.model.vm import VM, VMSpec
from qvirt.paths import Paths, default_home
from qvirt.units import show_bytes

SHARE_OF_FREE_MEMORY = 0.9
SMALLEST_VM = 512 << 20


@contextmanager
def opened_host() -> Iterator[Host]:
    host = Host(Paths(default_home()), settings.load())
    try:
        yield host
    finally:
        host.close()


@contextmanager
def embedded_vm(host: Host, cpus: int | None = None) -> Iterator[VM]:
    """A process VM with all that this process may use, less a share of the memory for everybody else."""
    from qvirt.probe import usable

    found = usable()
    memory = int(SHARE_OF_FREE_MEMORY * min(found.memory, found.memory_available))
    if memory < SMALLEST_VM:
        raise DoesNotFit(
            f"{show_bytes(found.memory_available)} of memory is free, a VM needs {show_bytes(SMALLEST_VM)}",
            hint="end something else, or raise the limit that `qvirt probe` names",
        )
    available = max(1, int(found.cpus))
    spec = VMSpec(
        name=f"run-{token_hex(4)}",
        memory=memory,
        cpus=min(cpus or host.settings.cpus or available, available),
        spares=0,
    )
    with host.machine(spec) as vm:
        yield vm
