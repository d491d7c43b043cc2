"""What the state directory knows of a container: what was asked for, its token, its earlier logs."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from qvirt.errors import QvirtError, VMFailed
from qvirt.model.vm import VM, VMSpec
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.docker import share
from qvirt.store.files import write_atomically

RUNTIME = "docker"
LOG_CHARACTERS = 1 << 20
"""Of a log that are kept, the last ones."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``create`` was asked for; ``started``: nobody has stopped it since it was last started."""

    spec: VMSpec
    owned: bool
    created: float
    started: bool = False


def begin(paths: Paths, vm: VM) -> None:
    write_atomically(paths.vm_token(vm.id), [token_urlsafe(32).encode()])
    note(paths, vm.id, Wanted(vm.spec, vm.owner is not None, vm.created))


def exists(paths: Paths, vm_id: str) -> bool:
    return _file(paths, vm_id).exists()


def kept(paths: Paths) -> list[str]:
    """The ids of all VMs that have records, whether or not an engine has their containers."""
    return [path.parent.name for path in paths.vms.glob(f"*/{RUNTIME}.json")]


def note(paths: Paths, vm_id: str, wanted: Wanted) -> None:
    write_atomically(_file(paths, vm_id), [to_json(wanted)])


def wanted(paths: Paths, vm_id: str) -> Wanted:
    """Raises VMFailed where the VM was destroyed."""
    try:
        return from_json(_file(paths, vm_id).read_bytes(), Wanted)
    except (OSError, QvirtError) as error:
        raise VMFailed(f"VM {vm_id} is gone: {error}") from None


def wanted_still(paths: Paths, vm_id: str) -> Wanted | None:
    with suppress(VMFailed):
        return wanted(paths, vm_id)
    return None


def earlier_log(paths: Paths, vm_id: str) -> str:
    """Of the containers that the VM had before."""
    with suppress(FileNotFoundError):
        return paths.vm_log(vm_id).read_text("utf-8")
    return ""


def keep_log(paths: Paths, vm_id: str, printed: str) -> None:
    """Of a container that is about to be removed."""
    kept = earlier_log(paths, vm_id) + printed
    write_atomically(paths.vm_log(vm_id), [kept[-LOG_CHARACTERS:].encode()])


def remove(paths: Paths, vm_id: str) -> None:
    share.forget(paths, vm_id)
    shutil.rmtree(paths.vm(vm_id), ignore_errors=True)


def _file(paths: Paths, vm_id: str) -> Path:
    return paths.vm_hypervisor(vm_id, RUNTIME)
