"""What is kept of a VM of QEMU or libvirt in its folder."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from qvirt.errors import QvirtError, UsageError, VMFailed
from qvirt.model.snapshot import NAME
from qvirt.model.vm import Endpoint, VMSpec
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.running import write
from qvirt.store.files import state_errors

LOG_BYTES = 1 << 20
"""Octets of a log that are given, the last ones."""

SAVED = ".state"


@dataclass(frozen=True, slots=True)
class Machine:
    """What ``create`` was asked for, and the files of the image that it found.

    ``uri`` is the libvirt that has it, None where none does.
    """

    spec: VMSpec
    disk: str
    kernel: str
    initrd: str
    owned: bool
    created: float
    uri: str | None = None

    @property
    def mebibytes(self) -> int:
        """QEMU counts guest memory in whole ones."""
        return self.spec.memory >> 20


class Records:
    """The files of one VM. ``runtime`` is the name of the runtime that it belongs to."""

    def __init__(self, paths: Paths, runtime: str, vm_id: str) -> None:
        self._paths = paths
        self._vm_id = vm_id
        self._machine = paths.vm_hypervisor(vm_id, runtime)

    @property
    def folder(self) -> Path:
        return self._paths.vm(self._vm_id)

    @property
    def made(self) -> bool:
        return self._machine.exists()

    @property
    def machine(self) -> Machine:
        """Raises VMFailed where the VM is gone."""
        try:
            return from_json(self._machine.read_bytes(), Machine)
        except (OSError, QvirtError) as error:
            raise VMFailed(f"VM {self._vm_id} is gone: {error}") from None

    def make(self, machine: Machine, port: int) -> None:
        """The folder, with a token of its own; what makes it a VM is written last."""
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            with state_errors(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(self._paths.vm_token(self._vm_id), token_urlsafe(32).encode())
            self.port = port
            self.change(machine)
            undo.pop_all()

    def change(self, machine: Machine) -> None:
        write(self._machine, to_json(machine))

    @property
    def token(self) -> str:
        try:
            return self._paths.vm_token(self._vm_id).read_text()
        except OSError as error:
            raise VMFailed(f"VM {self._vm_id} is gone: {error.strerror}") from None

    @property
    def port(self) -> int:
        try:
            return int(self._paths.vm_port(self._vm_id).read_text())
        except (OSError, ValueError) as error:
            raise VMFailed(f"VM {self._vm_id} is gone: {error}") from None

    @port.setter
    def port(self, port: int) -> None:
        write(self._paths.vm_port(self._vm_id), str(port).encode())

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.token, url=f"http://127.0.0.1:{self.port}")

    def saved(self, name: str) -> Path:
        """Where the engine's snapshot of this name lies, or would."""
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not the name of a snapshot")
        return self._paths.vm_saved(self._vm_id) / f"{name}{SAVED}"

    @property
    def saved_names(self) -> list[str]:
        found = self._paths.vm_saved(self._vm_id).glob(f"*{SAVED}")
        return sorted(path.name.removesuffix(SAVED) for path in found)

    @property
    def log(self) -> str:
        """What the guest has printed on its console, without the carriage returns of a serial line."""
        try:
            with self._paths.vm_log(self._vm_id).open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - LOG_BYTES))
                return log.read().decode("utf-8", "replace").replace("\r", "")
        except OSError:
            return ""
