"""An image as one file: to take to a machine that cannot build one."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from qvirt.errors import UsageError
from qvirt.images import manifest
from qvirt.images.catalogue import Catalogue, Image
from qvirt.images.external import require
from qvirt.images.manifest import CHUNK, Manifest, StoredFile
from qvirt.images.publish import publish
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.store.files import state_errors

LARGEST_MANIFEST = 16 << 20
ZSTD = b"\x28\xb5\x2f\xfd"
GZIP = b"\x1f\x8b"


def export_image(catalogue: Catalogue, image: Image, target: Path) -> int:
    """A tar archive, compressed by zstd where the system has it and by gzip elsewhere; its size in bytes."""
    catalogue.verify(image)
    described = catalogue.manifest(image)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with (
            state_errors(target),
            _compressed(partial) as file,
            tarfile.open(fileobj=file, mode="w|") as tar,
        ):
            head = to_json(described)
            _add(tar, manifest.NAME, len(head), io.BytesIO(head))
            for name, stored in described.files.items():
                with (Path(image.folder) / name).open("rb") as source:
                    _add(tar, name, stored.size, source)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def import_image(paths: Paths, source: Path) -> Image:
    """Every file is checked against the manifest before anything of the image can be used."""
    with state_errors(paths.building):
        paths.building.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="import-", dir=paths.building))
    try:
        with _decompressed(source) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            described = _unpack(tar, work, source)
        return publish(paths, described, work)
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise UsageError(f"is no whole qvirt image: {error}", file=str(source)) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(tar: tarfile.TarFile, work: Path, source: Path) -> Manifest:
    first = tar.next()
    head = tar.extractfile(first) if first and first.name == manifest.NAME else None
    if first is None or head is None or first.size > LARGEST_MANIFEST:
        raise UsageError("is no qvirt image: it does not begin with a manifest", file=str(source))
    described = manifest.parse(head.read(), str(source))
    known = {name for names in manifest.FILES.values() for name in names}
    waiting = {name: stored for name, stored in described.files.items() if name in known}
    while (entry := tar.next()) is not None:
        # Only names that the manifest and this qvirt know are written, so that none leads elsewhere.
        expected = waiting.pop(entry.name, None)
        data = tar.extractfile(entry)
        if expected is None or data is None:
            raise UsageError(f"holds {entry.name!r}, which is not of an image", file=str(source))
        _check(entry.name, _copy(data, work / entry.name, expected.size), expected, source)
    if waiting or not described.files:
        raise UsageError(f"is not whole: it lacks {', '.join(waiting) or 'every file'}", file=str(source))
    return described


def _copy(data: IO[bytes], target: Path, most: int) -> StoredFile:
    sha256, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while size <= most and (chunk := data.read(CHUNK)):
            sha256.update(chunk)
            with state_errors(target):
                size += file.write(chunk)
    return StoredFile(size, sha256.hexdigest())


def _check(name: str, found: StoredFile, expected: StoredFile, source: Path) -> None:
    if found != expected:
        raise UsageError(
            f"is damaged: {name} is not what was exported", file=str(source), hint="copy the file again"
        )


@contextmanager
def _compressed(target: Path) -> Iterator[Any]:
    if shutil.which("zstd") is None:
        with gzip.open(target, "wb", compresslevel=1) as file:
            yield file
        return
    child = subprocess.Popen(
        [require("zstd"), "-q", "-3", "-T0", "-f", "-o", target],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdin is not None and child.stderr is not None  # noqa: S101
        try:
            yield child.stdin
            child.stdin.close()
            said = child.stderr.read().decode("utf-8", "replace").strip()
        except BrokenPipeError:
            said = child.stderr.read().decode("utf-8", "replace").strip()
    if child.returncode:
        raise OSError(f"zstd: {said}")


@contextmanager
def _decompressed(source: Path) -> Iterator[Any]:
    try:
        with source.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(source)) from None
    if magic.startswith(GZIP):
        with gzip.open(source, "rb") as unzipped:
            yield unzipped
    elif magic == ZSTD:
        child = subprocess.Popen(
            [require("zstd"), "-q", "-d", "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with child:
            yield child.stdout
            child.kill()  # where nobody reads to the end, it would wait for ever
    else:
        with source.open("rb") as plain:
            yield plain


def _add(tar: tarfile.TarFile, name: str, size: int, file: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, file)
