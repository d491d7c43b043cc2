"""Every file name under the state directory, and nothing else that knows one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
SOCKET_PATH_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Paths:
    """The layout of one state directory (``QVIRT_HOME``, else the platform's state folder + ``qvirt``)."""

    home: Path

    @property
    def database(self) -> Path:
        return self.home / "qvirt.db"

    @property
    def circuits(self) -> Path:
        return self.home / "circuits"

    @property
    def results(self) -> Path:
        return self.home / "results"

    @property
    def vms(self) -> Path:
        return self.home / "vms"

    @property
    def bandwidth(self) -> Path:
        return self.home / "bandwidth.json"

    @property
    def calibration(self) -> Path:
        return self.home / "calibration.json"

    def circuit(self, sha256: str) -> Path:
        return self.circuits / sha256[:2] / sha256

    def result(self, job_id: str) -> Path:
        return self.results / f"{job_id}.json"

    def state(self, job_id: str) -> Path:
        return self.results / f"{job_id}.npy"

    def vm(self, vm_id: str) -> Path:
        return self.vms / vm_id

    def vm_log(self, vm_id: str) -> Path:
        return self.vm(vm_id) / "guest.log"

    def vm_token(self, vm_id: str) -> Path:
        return self.vm(vm_id) / "token"

    def vm_machine(self, vm_id: str) -> Path:
        """What the process runtime was asked for."""
        return self.vm(vm_id) / "machine.json"

    def vm_process(self, vm_id: str) -> Path:
        """Which process the process runtime has started."""
        return self.vm(vm_id) / "process.json"

    def vm_socket(self, vm_id: str) -> Path:
        """The guest's Unix socket; in the temporary folder where the state directory's path is too long."""
        path = self.vm(vm_id) / "guest.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"qvirt-{os.getuid()}-{digest}.sock"


def default_home() -> Path:
    """``QVIRT_HOME``, else ``$XDG_STATE_HOME/qvirt`` or what the platform has in its place."""
    named = os.environ.get("QVIRT_HOME")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("qvirt"))
