"""The states that a VM keeps between jobs: an .npy file each in its directory, and what it is of beside it.

They count as memory of the VM, whatever its directory lies on; where that is in memory, so do all files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from qvirt.errors import Conflict, NotFound, QvirtError, StateError
from qvirt.model.run import check_state_name
from qvirt.model.state import KeptState
from qvirt.model.wire import from_json, to_json


class KeptStates:
    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @property
    def memory(self) -> int:
        """Octets of the VM's memory that are taken."""
        if self._directory is not None and in_memory(self._directory):
            return shutil.disk_usage(self._directory).used
        return sum(state.octets for state in self.all())

    @property
    def free(self) -> int:
        """Octets that fit where they are kept."""
        return shutil.disk_usage(self._folder()).free

    def all(self) -> list[KeptState]:
        """By name; of what was not written to its end there is none."""
        if self._directory is None:
            return []
        found = (_read(path) for path in sorted(self._directory.glob("kept-*.json")))
        return [state for state in found if state is not None and self._amplitudes(state.name).exists()]

    def find(self, name: str) -> KeptState:
        """Raises NotFound naming those that there are."""
        check_state_name(name)
        states = {state.name: state for state in self.all()}
        if name not in states:
            known = f"it keeps: {', '.join(states)}" if states else "`qvirt run --keep NAME` keeps one"
            raise NotFound(f"this VM keeps no state {name!r}", hint=known)
        return states[name]

    def file(self, name: str) -> Path:
        """The amplitudes, as an .npy file."""
        return self._amplitudes(self.find(name).name)

    def require_free(self, name: str, *, overwrite: bool) -> None:
        """Raises Conflict where the name is taken and its state is not to be lost."""
        check_state_name(name)
        if not overwrite and any(state.name == name for state in self.all()):
            raise Conflict(
                f"this VM keeps a state {name!r} already", hint="--force replaces it, or choose another name"
            )

    def place(self, key: str) -> Path:
        """Where a state is written that is not kept yet."""
        return self._folder() / f"keeping-{key}.npy"

    def take(self, state: KeptState, written: Path) -> None:
        """Keep what was ``written``, in the place of what had its name; between the two there is none."""
        described = self._description(state.name)
        part = described.with_suffix(".part")
        try:
            part.write_bytes(to_json(state))
            described.unlink(missing_ok=True)
            written.replace(self._amplitudes(state.name))
            part.replace(described)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StateError(f"the VM cannot keep the state: {error.strerror}") from error

    def remove(self, name: str) -> None:
        found = self.find(name)
        self._description(found.name).unlink(missing_ok=True)
        self._amplitudes(found.name).unlink(missing_ok=True)

    def _amplitudes(self, name: str) -> Path:
        return self._folder() / f"kept-{name}.npy"

    def _description(self, name: str) -> Path:
        return self._folder() / f"kept-{name}.json"

    def _folder(self) -> Path:
        if self._directory is None:
            raise StateError("this VM has no directory for states")
        return self._directory


def in_memory(folder: Path) -> bool:
    """Whether the folder is a file system of its own in memory, as in a container and a QEMU guest."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    return any(mount.split()[1:3] == [str(folder), "tmpfs"] for mount in mounts)


def _read(path: Path) -> KeptState | None:
    try:
        return from_json(path.read_bytes(), KeptState)
    except (OSError, QvirtError):
        return None
