"""A state directory on a disk that is full: nothing half made stays, and the user is told what to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Cli
from guest_images import lend

from qvirt.model.vm import ImageForm
from qvirt.paths import Paths
from qvirt.store import Store

FORMS = {"process": None, "docker": ImageForm.DOCKER, "qemu": ImageForm.QEMU, "libvirt": ImageForm.QEMU}
DISK = 16 << 20


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "small", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(params=FORMS)
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cli]:
    made = Cli(tmp_path / "home")
    with small_disk(made.home):
        form = FORMS[request.param]
        if form is not None:
            lend(form, made.home)
        made.environment["QVIRT_RUNTIME"] = request.param
        assert made("vm", "list").returncode == 0
        yield made
        assert not made.processes()


def fill(home: Path, left: int) -> Path:
    """A file that takes all but ``left`` octets."""
    found = os.statvfs(home)
    file = home / "fill"
    file.write_bytes(bytes(found.f_bavail * found.f_frsize - left))
    return file


@pytest.mark.parametrize("left", [0, 16 << 10, 32 << 10, 64 << 10])
def test_a_vm_is_made_or_it_is_not(cli: Cli, left: int) -> None:
    """The database is open elsewhere, so that it is not the first that has no room."""
    runtime = cli.environment["QVIRT_RUNTIME"]
    store = Store(Paths(cli.home))
    try:
        filled = fill(cli.home, left)
        done = cli("vm", "create", "lab", "--runtime", runtime, "--memory", "700m", "--cold", "--no-wait")
    finally:
        store.close()
    if done.returncode:
        assert done.returncode == 7, done.stderr
        assert "free some space" in done.stderr
    for word in ("Traceback", "internal error"):
        assert word not in done.stderr
    assert left or done.returncode
    filled.unlink()
    names = [vm["spec"]["name"] for vm in cli.json("vm", "list")["vms"]]
    assert names == ([] if done.returncode else ["lab"])
    assert len(list((cli.home / "vms").glob("*"))) == len(names)
    assert cli("vm", "destroy", "--all").returncode == 0
    assert list((cli.home / "vms").glob("*")) == []


def test_where_there_is_no_room_for_the_database_s_own_files(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    with small_disk(cli.home):
        assert cli("vm", "list").returncode == 0
        fill(cli.home, 0)
        done = cli("vm", "create", "lab")
        assert (done.returncode, "free some space" in done.stderr) == (7, True), done.stderr
        assert not cli.processes()
