"""What an image says of itself: ``manifest.json`` in its folder. Without one a folder is no image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qvirt.errors import NotFound, QvirtError, StateError
from qvirt.model.vm import ImageForm
from qvirt.model.wire import from_json, to_json
from qvirt.store.files import write_atomically

NAME = "manifest.json"
VERSION = 1

DISK = "disk.erofs"
KERNEL = "vmlinuz"
INITRD = "initrd"
ARCHIVE = "docker.tar"

FILES = {ImageForm.DOCKER: (ARCHIVE,), ImageForm.QEMU: (DISK, KERNEL, INITRD)}
"""What each form consists of."""

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``sizes`` are the bytes that each form takes in use: unpacked in the container engine, or on disk.

    ``packages`` are the Debian packages and ``wheels`` the SHA-256 of the wheels in it, by name; ``extras``
    are the requirements that it was built with beside those of every image.
    """

    id: str
    qvirt: str
    created: float
    python: str
    architecture: str
    system: str
    forms: tuple[ImageForm, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    kernel: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    wheels: dict[str, str] = field(default_factory=dict)
    extras: dict[str, str] = field(default_factory=dict)
    version: int = VERSION


def read(folder: Path) -> Manifest:
    """Raises NotFound where there is none, StateError where it cannot be understood."""
    try:
        data = (folder / NAME).read_bytes()
    except OSError:
        raise NotFound(f"{folder} is no image: it has no {NAME}") from None
    return parse(data, str(folder))


def parse(data: bytes, origin: str) -> Manifest:
    try:
        manifest = from_json(data, Manifest)
    except QvirtError as error:
        raise StateError(f"{origin}: {error.message}", hint="qvirt image prune") from None
    if manifest.version != VERSION:
        raise StateError(
            f"{origin} was made by another version of qvirt (manifest {manifest.version}, here {VERSION})",
            hint="qvirt image build",
        )
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    write_atomically(folder / NAME, [to_json(manifest, indent=2)], mode=0o644)


def stored(path: Path) -> StoredFile:
    return StoredFile(path.stat().st_size, digest(path))


def digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    for chunk in chunks(path):
        sha256.update(chunk)
    return sha256.hexdigest()


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
