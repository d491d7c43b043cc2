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

    @property
    def warm(self) -> Path:
        """Memory templates, of which new VMs are copies."""
        return self.home / "warm"

    @property
    def pools_lock(self) -> Path:
        """Held by the one process that fills the pools of warm VMs."""
        return self.home / "pools.lock"

    @property
    def pools_log(self) -> Path:
        """What went wrong while they were filled in the background."""
        return self.home / "pools.log"

    @property
    def images(self) -> Path:
        return self.home / "images"

    @property
    def fetched(self) -> Path:
        """What images are built from and comes from elsewhere: wheels, packages."""
        return self.home / "fetched"

    @property
    def building(self) -> Path:
        """Half-built images."""
        return self.home / "building"

    def circuit(self, sha256: str) -> Path:
        return self.circuits / sha256[:2] / sha256

    def sweep(self, sha256: str) -> Path:
        return self.circuits / sha256[:2] / f"{sha256}.sweep"

    def result(self, job_id: str) -> Path:
        return self.results / f"{job_id}.json"

    def state(self, job_id: str) -> Path:
        return self.results / f"{job_id}.npy"

    def checkpoint(self, job_id: str) -> Path:
        """Where the job stood when it was saved last."""
        return self.home / "checkpoints" / f"{job_id}.qvc"

    def vm(self, vm_id: str) -> Path:
        return self.vms / vm_id

    def snapshots(self, vm_id: str) -> Path:
        return self.home / "snapshots" / vm_id

    def snapshot_job(self, vm_id: str, name: str, job_id: str) -> Path:
        """Where a job stood that ran in the VM when the snapshot was taken."""
        return self.snapshots(vm_id) / f"{name}.{job_id}.qvc"

    def snapshot_states(self, vm_id: str, name: str) -> Path:
        """What the VM kept between jobs when the snapshot was taken."""
        return self.snapshots(vm_id) / f"{name}.states"

    def snapshot_state(self, vm_id: str, name: str, state: str) -> Path:
        return self.snapshot_states(vm_id, name) / f"{state}.npy"

    def vm_lock(self, vm_id: str) -> Path:
        """Held by the one process that changes the VM."""
        return self.home / "locks" / vm_id

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
        """The guest's Unix socket."""
        return self._socket(self.vm(vm_id) / "guest.sock")

    def vm_bound(self, vm_id: str) -> Path:
        """Where a container's socket lies once it was taken out of the shared folder."""
        return self.vm(vm_id) / "guest.sock"

    def vm_shared(self, vm_id: str) -> Path:
        """The folder that a container shares with its host."""
        return self.vm(vm_id) / "shared"

    def vm_monitor(self, vm_id: str) -> Path:
        """Where QEMU takes commands (QMP)."""
        return self._socket(self.vm(vm_id) / "monitor.sock")

    def vm_console(self, vm_id: str) -> Path:
        """The serial console of a VM that has one."""
        return self._socket(self.vm(vm_id) / "console.sock")

    def vm_hypervisor(self, vm_id: str, name: str) -> Path:
        """What the runtime ``name``, one with guest images, was asked for."""
        return self.vm(vm_id) / f"{name}.json"

    def vm_hypervisor_log(self, vm_id: str) -> Path:
        """What QEMU itself said, apart from its guest."""
        return self.vm(vm_id) / "qemu.log"

    def vm_config(self, vm_id: str) -> Path:
        """What a guest reads when it boots, for its shell."""
        return self.vm(vm_id) / "config"

    def vm_port(self, vm_id: str) -> Path:
        """The port on loopback that leads to the guest."""
        return self.vm(vm_id) / "port"

    def vm_saved(self, vm_id: str) -> Path:
        """The snapshots that the hypervisor itself has made of it."""
        return self.vm(vm_id) / "saved"

    @staticmethod
    def _socket(path: Path) -> Path:
        """In the temporary folder where the path of the state directory is too long for a socket."""
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
