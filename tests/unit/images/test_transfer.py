from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from small_images import put

from qvirt.errors import QvirtError, UsageError
from qvirt.images.catalogue import Catalogue, Image
from qvirt.images.transfer import export_image, import_image
from qvirt.model.vm import ImageForm
from qvirt.paths import Paths

ID = "ab" * 32


@pytest.fixture
def here(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "there")


@pytest.fixture
def image(here: Paths) -> Image:
    return put(here, ID, ImageForm.DOCKER, ImageForm.QEMU, content=b"x" * 100_000)


@pytest.fixture
def exported(here: Paths, image: Image, tmp_path: Path) -> Path:
    file = tmp_path / "guest.tar.zst"
    assert export_image(Catalogue(here), image, file) == file.stat().st_size
    return file


def test_an_image_arrives_as_it_was(here: Paths, there: Paths, image: Image, exported: Path) -> None:
    arrived = import_image(there, exported)
    assert arrived.id == image.id
    assert Catalogue(there).manifest(arrived) == Catalogue(here).manifest(image)
    Catalogue(there).verify(arrived)
    assert list(there.building.iterdir()) == []


def test_without_zstd_it_is_gzip(
    here: Paths, there: Paths, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    file = tmp_path / "guest.tar.gz"
    export_image(Catalogue(here), image, file)
    assert file.read_bytes().startswith(b"\x1f\x8b")
    Catalogue(there).verify(import_image(there, file))


def repacked(exported: Path, change: dict[str, bytes]) -> Path:
    """The same archive, with other contents, more members, or (empty bytes) fewer."""
    plain = exported.with_name("plain.tar")
    with tarfile.open(plain, "w") as out:
        for name, data in (members(exported) | change).items():
            if data:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                out.addfile(entry, io.BytesIO(data))
    return plain


def members(exported: Path) -> dict[str, bytes]:
    import subprocess

    raw = exported.read_bytes()
    if raw.startswith(b"\x1f\x8b"):
        raw = gzip.decompress(raw)
    else:
        raw = subprocess.run(["zstd", "-d", "-c", exported], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disk.erofs": b"y" * 100_010}, "disk.erofs is not what was exported"),
        ({"disk.erofs": b"short"}, "disk.erofs is not what was exported"),
        ({"disk.erofs": b""}, "lacks disk.erofs"),
        ({"../escaped": b"z"}, "not of an image"),
        ({"manifest.json": b"{}"}, "missing required field"),
        ({"manifest.json": b""}, "does not begin with a manifest"),
    ],
)
def test_what_is_not_whole_is_refused_and_leaves_nothing(
    there: Paths, exported: Path, change: dict[str, bytes], message: str
) -> None:
    with pytest.raises(QvirtError, match=message):
        import_image(there, repacked(exported, change))
    assert Catalogue(there).images() == []
    assert list(there.building.iterdir()) == []
    assert not (there.home.parent / "escaped").exists()


def test_a_file_that_broke_off_is_refused(there: Paths, exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-20])
    with pytest.raises(UsageError):
        import_image(there, exported)
    assert Catalogue(there).images() == []


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_other_files_are_refused(there: Paths, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        import_image(there, file)


def test_a_damaged_image_is_not_exported(here: Paths, image: Image, tmp_path: Path) -> None:
    image.disk.write_bytes(b"")
    with pytest.raises(QvirtError, match="damaged"):
        export_image(Catalogue(here), image, tmp_path / "out")
    assert not (tmp_path / "out").exists()
