"""The folder that host and guest share, and the socket that the host takes out of it.

The guest binds its socket in the folder. The host then moves the socket to where the guest cannot reach
it, and closes the folder where it may: what runs in the guest can neither put something else in the
socket's place nor fill the host's disk.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from qvirt.errors import StateError, VMFailed
from qvirt.paths import Paths
from qvirt.store.files import state_errors

NOBODY = 65534
SOCKET = "guest.sock"
TOKEN = "token"  # noqa: S105
CALIBRATION = "calibration.json"

_OPEN, _CLOSED, _BOUND = 0o770, 0o550, 0o600


def user(rootless: bool) -> str:
    """Who the guest is: nobody where qvirt is root, else whoever runs qvirt."""
    if rootless:
        return "0:0"  # whom the engine's user namespace takes for whoever runs qvirt
    return f"{NOBODY}:{NOBODY}" if _is_root() else f"{os.geteuid()}:{os.getegid()}"


def prepare(paths: Paths, vm_id: str) -> None:
    """The folder anew, with what the guest is to read. To be called while no guest runs."""
    forget(paths, vm_id)
    folder = paths.vm_shared(vm_id)
    with state_errors(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        _give(folder / TOKEN, paths.vm_token(vm_id).read_bytes())
        with suppress(FileNotFoundError):
            _give(folder / CALIBRATION, paths.calibration.read_bytes())
        if _is_root():
            os.chown(folder, 0, NOBODY)
            folder.chmod(_OPEN)


def adopt(paths: Paths, vm_id: str) -> bool:
    """Take the socket that the guest has bound, once it has; whether it can be reached now."""
    taken = paths.vm_bound(vm_id)
    if not taken.is_socket():
        offered = paths.vm_shared(vm_id) / SOCKET
        if not _is_bound(offered):
            return False
        with suppress(FileNotFoundError):  # another process was faster
            offered.rename(taken)
        if not stat.S_ISSOCK(taken.lstat().st_mode):
            taken.unlink()
            raise VMFailed(f"VM {vm_id} has offered something else than its socket")
        if _is_root():
            paths.vm_shared(vm_id).chmod(_CLOSED)
    _link(paths.vm_socket(vm_id), taken)
    return True


def is_closed(paths: Paths, vm_id: str) -> bool:
    """Whether the guest can no longer write to the folder."""
    try:
        return stat.S_IMODE(paths.vm_shared(vm_id).stat().st_mode) == _CLOSED
    except OSError:
        return False


def forget(paths: Paths, vm_id: str) -> None:
    """The socket of a guest that has ended."""
    taken, reached = paths.vm_bound(vm_id), paths.vm_socket(vm_id)
    taken.unlink(missing_ok=True)
    if reached != taken:
        reached.unlink(missing_ok=True)


def _is_root() -> bool:
    return os.geteuid() == 0


def _give(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
    if _is_root():
        os.chown(path, 0, NOBODY)
        path.chmod(0o440)


def _is_bound(path: Path) -> bool:
    """The guest sets the mode of its socket last before it listens: earlier it would miss the file."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == _BOUND


def _link(reached: Path, taken: Path) -> None:
    """A way to the socket that is short enough, where its own path is not."""
    if reached == taken:
        return
    with suppress(FileExistsError):
        reached.symlink_to(taken)
    if reached.lstat().st_uid != os.geteuid() or reached.readlink() != taken:
        raise StateError(f"{reached} is not qvirt's", hint="remove it, or set QVIRT_HOME to a shorter path")
