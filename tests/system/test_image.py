"""The real image of whoever runs the tests, and building it again from what was fetched for it."""

from __future__ import annotations

import gzip
import io
import json
import signal
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Cli, eventually
from guest_images import copy
from small_images import put

from qvirt.errors import QvirtError
from qvirt.images.catalogue import Catalogue, Image
from qvirt.images.definition import content_hash
from qvirt.images.docker_archive import LAYER
from qvirt.model.vm import VM, ImageForm, VMSpec, VMState
from qvirt.paths import Paths, default_home
from qvirt.store import Store

OWN = Paths(default_home())
"""Looked up when this is imported: the tests themselves run with another one."""

FORBIDDEN = (
    "apt",
    "apt-get",
    "dpkg",
    "gcc",
    "cc",
    "make",
    "pip",
    "pip3",
    "sudo",
    "su",
    "sshd",
    "systemd",
    "cron",
)


@pytest.fixture(scope="module")
def image() -> Image:
    try:
        Catalogue(OWN).find(None, ImageForm.QEMU)
        return Catalogue(OWN).find(None, ImageForm.DOCKER)
    except QvirtError as error:
        pytest.skip(f"{error.message} in {OWN.home}: {error.hint}")


@pytest.fixture(scope="module")
def layer(image: Image) -> Iterator[tarfile.TarFile]:
    with tarfile.open(image.archive) as archive:
        data = archive.extractfile(LAYER)
        assert data is not None
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data.read()))) as layer:
            yield layer


def test_image_is_whole(image: Image) -> None:
    Catalogue(OWN).verify(image)


def test_nothing_in_it_compiles_installs_or_serves(layer: tarfile.TarFile) -> None:
    programs = {Path(each.name).name for each in layer if each.mode & 0o111 and not each.isdir()}
    assert programs & set(FORBIDDEN) == set()
    assert "python3" in programs


def test_nothing_in_it_lends_rights_or_can_be_changed(layer: tarfile.TarFile) -> None:
    assert [each.name for each in layer if each.mode & (stat.S_ISUID | stat.S_ISGID)] == []
    open_to_all = [each.name for each in layer if each.mode & 0o002 and not each.issym()]
    assert open_to_all == ["./tmp"]
    assert {(each.uid, each.gid) for each in layer} == {(0, 0)}


def test_every_module_is_compiled(layer: tarfile.TarFile) -> None:
    names = {each.name for each in layer}
    sources = [Path(name) for name in names if name.endswith(".py") and "/dist-packages/qvirt/" in name]
    lacking = [s for s in sources if f"./{s.parent}/__pycache__/{s.stem}.cpython-311.pyc" not in names]
    assert sources
    assert lacking == []


@pytest.mark.slow
def test_a_killed_build_goes_on_and_gives_the_same_bytes(image: Image, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    cli.environment["DOCKER_HOST"] = "unix:///nonexistent"  # the engine has this image
    arguments = ("image", "build", "--wheelhouse", OWN.fetched)
    first = cli.start(*arguments)
    work = Paths(cli.home).building / image.short
    deadline = time.monotonic() + 120
    while not (work / "root.json").exists():
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert eventually(lambda: not cli.processes())
    assert cli.json("image", "list")["images"] == []

    done = cli(*arguments)
    assert done.returncode == 0, done.stderr
    assert "root file system" not in done.stderr
    (built,) = Catalogue(Paths(cli.home)).images()
    assert built.id == image.id
    # Where the base is the same one, so is every byte.
    ours, theirs = Catalogue(Paths(cli.home)).manifest(built), Catalogue(OWN).manifest(image)
    assert ours.packages == theirs.packages
    assert ours.files == theirs.files
    assert not work.exists()


def test_export_and_import(image: Image, tmp_path: Path, bell: Path) -> None:
    here, there = Cli(OWN.home), Cli(tmp_path / "home")
    there.environment["DOCKER_HOST"] = "unix:///nonexistent"
    file = tmp_path / "guest.tar.zst"
    done = here("image", "export", file, "--image", image.id)
    assert done.returncode == 0, done.stderr
    assert there("image", "import", file).returncode == 0
    assert there.json("image", "inspect", "--verify")["current"] is True
    data = bytearray(file.read_bytes())
    (tmp_path / "half").write_bytes(data[: len(data) // 2])
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    for harmed in (file, tmp_path / "half", bell, tmp_path, tmp_path / "nowhere"):
        refused = there("image", "import", harmed)
        assert (refused.returncode, str(harmed) in refused.stderr) == (2, True), refused.stderr
        assert "Traceback" not in refused.stderr
    assert list(Paths(there.home).building.iterdir()) == []
    assert there("image", "rm", image.id).returncode == 0
    assert json.loads(there("image", "list", "--format", "json").stdout)["images"] == []


def test_an_image_that_a_vm_is_made_of_stays(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    cli.environment["DOCKER_HOST"] = "unix:///nonexistent"
    image = copy(ImageForm.QEMU, cli.home)
    made = cli("vm", "create", "lab", "--runtime", "qemu", "--memory", "700m", "--cold", "--no-wait")
    assert made.returncode == 0, made.stderr
    refused = cli("image", "rm", image.short)
    assert (refused.returncode, "lab" in refused.stderr, "--force" in refused.stderr) == (5, True, True)
    assert cli.json("image", "list")["images"] != []
    forced = cli("image", "rm", "--force", image.short)
    assert forced.returncode == 0, forced.stderr
    assert cli.json("vm", "list")["vms"][0]["state"] == "running"
    assert cli("vm", "stop", "lab", "--timeout", "100ms").returncode == 0
    gone = cli("vm", "start", "lab")
    assert (gone.returncode, "qvirt image build" in gone.stderr) == (6, True), gone.stderr
    assert cli("vm", "destroy", "lab").returncode == 0
    assert eventually(lambda: not cli.processes())


def test_a_build_that_would_bring_gigabytes_is_refused_before_it_begins(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    cli.environment["PATH"] = str(tmp_path)  # no tool that could find a GPU
    refused = cli("image", "build", "--with", "torch")
    assert (refused.returncode, "QVIRT_TORCH_SPEC=" in refused.stderr) == (6, True), refused.stderr
    unknown = cli("image", "build", "--with", "magic")
    assert (unknown.returncode, "'torch'" in unknown.stderr) == (2, True), unknown.stderr
    assert not Paths(cli.home).building.exists()


def test_prune_removes_what_is_half_built_old_and_unused(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    cli.environment["DOCKER_HOST"] = "unix:///nonexistent"
    paths = Paths(cli.home)
    current = put(paths, content_hash(), ImageForm.QEMU)
    old, used = (put(paths, digit * 64, ImageForm.QEMU) for digit in "ab")
    (paths.building / "cccc").mkdir()
    paths.fetched.mkdir()
    store = Store(paths)
    store.put_vm(VM("1", VMSpec("lab", "qemu", image=used.id), VMState.STOPPED, 0.0))
    store.close()
    assert "half built" in cli("image", "list").stderr
    done = cli("image", "prune")
    assert (done.returncode, done.stderr) == (0, f"removed half-built cccc, {old.short}\n")
    assert {image.id for image in Catalogue(paths).images()} == {current.id, used.id}
    assert cli("image", "prune").stderr == "there was nothing to remove\n"
    assert "what was fetched" in cli("image", "prune", "--all").stderr
    assert not paths.fetched.exists()
    refused = cli("image", "rm", "dddd")
    assert (refused.returncode, "images are: " in refused.stderr) == (5, True)
