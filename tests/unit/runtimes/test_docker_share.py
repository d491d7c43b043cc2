"""The shared folder and its socket, with a listener of this process in the guest's place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qvirt.errors import StateError
from qvirt.paths import Paths
from qvirt.runtimes.docker import share

VM = "0123456789ab"


@pytest.fixture(params=["short", "long" * 30])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Paths]:
    found = Paths(tmp_path / request.param)
    found.vm(VM).mkdir(parents=True)
    found.vm_token(VM).write_text("secret")
    yield found
    share.forget(found, VM)


@contextmanager
def guest(paths: Paths, mode: int = 0o600) -> Iterator[None]:
    """Binds as the guest does; through the folder's descriptor, because the path may be too long."""
    folder = os.open(paths.vm_shared(VM), os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{share.SOCKET}")
        (paths.vm_shared(VM) / share.SOCKET).chmod(mode)
        listener.listen()
        yield
    os.close(folder)


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_the_socket_is_taken_out_of_the_folder_and_reached_by_a_short_path(paths: Paths) -> None:
    share.prepare(paths, VM)
    assert not share.adopt(paths, VM)
    with guest(paths):
        assert share.adopt(paths, VM)
        assert not (paths.vm_shared(VM) / share.SOCKET).exists()
        assert connects(paths.vm_socket(VM))
        assert share.adopt(paths, VM)
    share.forget(paths, VM)
    assert not os.path.lexists(paths.vm_socket(VM))


def test_a_socket_that_is_not_ready_is_left_to_the_guest(paths: Paths) -> None:
    share.prepare(paths, VM)
    with guest(paths, mode=0o700):
        assert not share.adopt(paths, VM)


def test_a_link_in_its_place_is_not_taken(paths: Paths, tmp_path: Path) -> None:
    share.prepare(paths, VM)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other"))
        (tmp_path / "other").chmod(0o600)
        (paths.vm_shared(VM) / share.SOCKET).symlink_to(tmp_path / "other")
        assert not share.adopt(paths, VM)


def test_the_folder_is_made_anew_and_follows_no_link(paths: Paths, tmp_path: Path) -> None:
    share.prepare(paths, VM)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    token = paths.vm_shared(VM) / share.TOKEN
    token.unlink()
    token.symlink_to(precious)
    share.prepare(paths, VM)
    assert precious.read_text() == "mine"
    assert token.read_text() == "secret"


def test_the_calibration_is_given_along(paths: Paths) -> None:
    paths.calibration.write_text("{}")
    share.prepare(paths, VM)
    assert (paths.vm_shared(VM) / share.CALIBRATION).read_text() == "{}"


@pytest.mark.skipif(os.geteuid() != 0, reason="docker: the folder can be closed by root only")
def test_root_closes_the_folder_and_gives_nothing_to_others(paths: Paths) -> None:
    share.prepare(paths, VM)
    shared = paths.vm_shared(VM)
    assert (shared.stat().st_uid, shared.stat().st_gid) == (0, share.NOBODY)
    assert shared.stat().st_mode & 0o777 == 0o770
    assert (shared / share.TOKEN).stat().st_mode & 0o777 == 0o440
    with guest(paths):
        assert not share.is_closed(paths, VM)
        share.adopt(paths, VM)
        assert shared.stat().st_mode & 0o777 == 0o550
        assert share.is_closed(paths, VM)


def test_a_way_that_is_somebody_elses_is_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path / ("long" * 30))
    paths.vm(VM).mkdir(parents=True)
    paths.vm_token(VM).write_text("secret")
    share.prepare(paths, VM)
    paths.vm_socket(VM).symlink_to("/tmp")
    try:
        with guest(paths), pytest.raises(StateError, match="is not qvirt's"):
            share.adopt(paths, VM)
    finally:
        share.forget(paths, VM)


def test_who_the_guest_is() -> None:
    mine = f"{os.geteuid()}:{os.getegid()}"
    assert share.user(rootless=False) == ("65534:65534" if os.geteuid() == 0 else mine)
    assert share.user(rootless=True) == "0:0"
