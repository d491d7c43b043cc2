"""Building an image: each step leaves a stamp, so that what was broken off goes on where it was."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from qvirt.errors import Conflict, QvirtError, StateError
from qvirt.images import docker_archive, manifest
from qvirt.images.base import base_name, fetch_base, find_base, packages
from qvirt.images.catalogue import REPOSITORY, SHORT, Catalogue, Image
from qvirt.images.definition import Definition, content_hash, definition, lock
from qvirt.images.disk import write_boot_files, write_disk
from qvirt.images.external import require
from qvirt.images.kernel import fetch_kernel, folder_name
from qvirt.images.manifest import Manifest, StoredFile
from qvirt.images.publish import publish
from qvirt.images.root import compile_all, furnish, install, settle, unpack
from qvirt.images.system import System, system
from qvirt.images.wheels import target as wheel_target
from qvirt.model.vm import ImageForm
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.store.files import state_errors, write_atomically
from qvirt.units import show_bytes
from qvirt.version import __version__

Tell = Callable[[str], None]
T = TypeVar("T")
NONE: Mapping[str, str] = MappingProxyType({})

ROOM = 2 << 30
"""Bytes that a build takes while it runs; twice as many with a torch for CPUs."""

TOOLS = {ImageForm.DOCKER: ("tar",), ImageForm.QEMU: ("tar", "mkfs.erofs", "dpkg")}


@dataclass(frozen=True, slots=True)
class Contents:
    """Stamp of the finished root: ``key`` is what it was made from."""

    key: str
    python: str
    packages: dict[str, str]
    wheels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Made:
    """Stamp of a finished form: its files, and the bytes that it takes in use."""

    key: str
    files: dict[str, StoredFile]
    size: int
    kernel: str | None = None


def build(
    paths: Paths,
    forms: Sequence[ImageForm],
    tell: Tell,
    wheelhouse: Path | None = None,
    extras: Mapping[str, str] = NONE,
) -> Image:
    """Make what is missing of the current image; ``tell`` hears of each step that takes time.

    With a ``wheelhouse`` no wheel is fetched; the base and the kernel that lie in it are used as well.
    ``extras`` are requirements that it is to have beside those of every image, by name.
    """
    catalogue = Catalogue(paths)
    image_id = content_hash(*extras.values())
    missing = [form for form in forms if not is_whole(catalogue, image_id, form)]
    if missing:
        wanted = replace(definition(), extras=dict(extras))
        with _alone(paths, image_id[:SHORT]) as folder:
            _Build(paths, folder, image_id, wanted, system(), tell, wheelhouse).make(missing)
    return catalogue.named(image_id)


def is_whole(catalogue: Catalogue, image_id: str, form: ImageForm) -> bool:
    """Whether the image is there in this form, with nothing in it changed."""
    try:
        catalogue.verify(catalogue.find(image_id, form), [form])
    except QvirtError:
        return False
    return True


def half_built(paths: Paths) -> list[Path]:
    return sorted(path for path in paths.building.glob("*") if path.is_dir())


def discard_half_built(paths: Paths) -> list[str]:
    """Remove what broken-off builds have left; one that is going on is left alone."""
    removed = []
    for folder in half_built(paths):
        try:
            with _alone(paths, folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        except Conflict:
            continue
        removed.append(folder.name)
    return removed


@dataclass(frozen=True, slots=True)
class _Build:
    paths: Paths
    folder: Path
    image_id: str
    wanted: Definition
    system: System
    tell: Tell
    wheelhouse: Path | None

    @property
    def log(self) -> Path:
        return self.folder / "build.log"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def sources(self) -> list[Path]:
        return [*([self.wheelhouse] if self.wheelhouse else []), self.paths.fetched]

    def make(self, forms: Sequence[ImageForm]) -> None:
        for tool in dict.fromkeys(tool for form in forms for tool in TOOLS[form]):
            require(tool)
        with state_errors(self.paths.fetched):
            self.paths.fetched.mkdir(parents=True, exist_ok=True)
        self._check_room()
        base = self._base()
        kernel = self._kernel() if ImageForm.QEMU in forms else None
        contents = self._contents(base)
        made: dict[ImageForm, Callable[[Contents], Made]]
        made = {ImageForm.DOCKER: self._docker, ImageForm.QEMU: partial(self._disk, kernel)}
        finished = {form: made[form](contents) for form in forms}
        publish(self.paths, self._manifest(contents, finished), self.folder)

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.folder).free
        room = ROOM * (2 if self.wanted.extras else 1)
        if free < room:
            raise StateError(
                f"building an image takes {show_bytes(room)} on disk, and {show_bytes(free)} are free",
                hint="free some space, or set QVIRT_HOME to a folder on another disk",
            )

    def _base(self) -> Path:
        name = base_name(self.system, self.wanted)
        found = find_base(name, self.sources)
        if found is None:
            self.tell(f"{self.system.name} packages")
            found = self.paths.fetched / name
            fetch_base(self.system, self.wanted, found, self.log)
        return found

    def _kernel(self) -> Path:
        name = folder_name(self.system)
        found = next((each / name for each in self.sources if (each / name).is_dir()), None)
        if found is None:
            self.tell("kernel package")
            found = self.paths.fetched / name
            fetch_kernel(self.system, self.wanted.kernel, found, self.log)
        return found

    def _contents(self, base: Path) -> Contents:
        key = f"{self.image_id} {manifest.digest(base)}"
        stamp = self.folder / "root.json"
        found = _stamped(stamp, Contents, key)
        if found is None:
            self.tell("root file system")
            unpack(base, self.root, self.log)
            known = packages(self.root)
            furnish(self.root, self.wanted)
            target = wheel_target(self.root, known, self.system)
            pinned = (
                ""
                if lock(target.python)
                else f", the newest for Python {target.python}: nobody has pinned them"
            )
            self.tell(f"Python packages{pinned}")
            house = self.wheelhouse or self.paths.fetched
            wheels = install(self.root, self.wanted, target, house, self.wheelhouse is None, self.log)
            self.tell("byte code")
            compile_all(self.root, target, self.log)
            settle(self.root, self.wanted.timestamp)
            found = Contents(key, target.python, known, wheels)
            write_atomically(stamp, [to_json(found)])
        return found

    def _docker(self, contents: Contents) -> Made:
        stamp = self.folder / "docker.json"
        found = _stamped(stamp, Made, contents.key)
        if found is None:
            self.tell("Docker image")
            layer = docker_archive.write_layer(
                self.root, self.folder / docker_archive.LAYER, self.wanted.timestamp
            )
            labels = {
                docker_archive.IMAGE_LABEL: self.image_id,
                docker_archive.VERSION_LABEL: __version__,
            }
            docker_archive.write_archive(
                layer,
                self.folder / manifest.ARCHIVE,
                f"{REPOSITORY}:{self.image_id[:SHORT]}",
                labels,
                self.system.architecture,
                self.wanted.timestamp,
            )
            layer.path.unlink()
            found = self._finish(stamp, contents, ImageForm.DOCKER, size=layer.size)
        return found

    def _disk(self, kernel: Path | None, contents: Contents) -> Made:
        stamp = self.folder / "qemu.json"
        found = _stamped(stamp, Made, contents.key)
        if found is None and kernel is not None:
            self.tell("disk, kernel and initramfs")
            disk = self.folder / manifest.DISK
            write_disk(self.root, disk, self.image_id, self.wanted.timestamp, self.log)
            version = write_boot_files(self.root, kernel, self.folder, self.wanted, self.log)
            found = self._finish(stamp, contents, ImageForm.QEMU, kernel=version)
        assert found is not None  # noqa: S101
        return found

    def _finish(
        self,
        stamp: Path,
        contents: Contents,
        form: ImageForm,
        size: int | None = None,
        kernel: str | None = None,
    ) -> Made:
        files = {name: manifest.stored(self.folder / name) for name in manifest.FILES[form]}
        total = sum(file.size for file in files.values()) if size is None else size
        made = Made(contents.key, files, total, kernel)
        write_atomically(stamp, [to_json(made)])
        return made

    def _manifest(self, contents: Contents, made: dict[ImageForm, Made]) -> Manifest:
        return Manifest(
            id=self.image_id,
            qvirt=__version__,
            created=time.time(),
            python=contents.python,
            architecture=self.system.architecture,
            system=self.system.name,
            forms=tuple(made),
            sizes={form.value: each.size for form, each in made.items()},
            files={name: file for each in made.values() for name, file in each.files.items()},
            kernel=next((each.kernel for each in made.values() if each.kernel), None),
            packages=contents.packages,
            wheels=contents.wheels,
            extras=self.wanted.extras,
        )


def _stamped(stamp: Path, kind: type[T], key: str) -> T | None:
    """The stamp of a step, where it was made from the same."""
    try:
        found = from_json(stamp.read_bytes(), kind)
    except (OSError, QvirtError):
        return None
    return found if getattr(found, "key", None) == key else None


@contextmanager
def _alone(paths: Paths, name: str) -> Iterator[Path]:
    """The folder of a build, while no other process builds in it; gone once the image is published."""
    folder = paths.building / name
    with state_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock_file = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    except BlockingIOError:
        raise Conflict(
            f"another qvirt on {platform.node()} builds image {folder.name} just now",
            hint="wait until it is done",
        ) from None
    finally:
        os.close(lock_file)
