"""What the guest image is made of, and the hash that names it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qvirt.errors import StateError
from qvirt.model.wire import from_json, to_json
from qvirt.resources import resources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """The package that depends on the newest kernel, by distribution; the modules of the initramfs."""

    debian: str
    ubuntu: str
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """images/definition.toml; its comments say what each is. Of a build ``extras`` are those that it has."""

    format: int
    timestamp: int
    packages: tuple[str, ...]
    applets: tuple[str, ...]
    requirements: tuple[str, ...]
    bare_requirements: tuple[str, ...]
    extras: dict[str, str]
    qvirt: tuple[str, ...]
    removed: tuple[str, ...]
    removed_names: tuple[str, ...]
    removed_paths: tuple[str, ...]
    removed_suffixes: tuple[str, ...]
    kernel: KernelChoice


def definition() -> Definition:
    path = resources("images") / "definition.toml"
    try:
        return from_json(to_json(tomllib.loads(path.read_text("utf-8"))), Definition)
    except OSError as error:
        raise StateError(f"this installation of qvirt lacks {path}: {error.strerror}") from None


def lock(python: str) -> Path | None:
    """Where everything is pinned for this version of Python (``3.11``); None where nobody has done that."""
    path = resources("images") / f"requirements-{python}.txt"
    return path if path.is_file() else None


def package_files(wanted: Definition) -> Iterator[Path]:
    """qvirt's files that go into the image, relative to its package."""
    for name in wanted.qvirt:
        path = PACKAGE / name
        found = path.rglob("*.py") if path.is_dir() else [path]
        yield from sorted(each.relative_to(PACKAGE) for each in found)


@cache
def content_hash(*extras: str) -> str:
    """Of all that decides what is in the image, save for the versions of the Debian packages.

    ``extras`` are requirements that it has beside what every image has.
    """
    sha256 = hashlib.sha256()
    read = [(name, path.read_bytes()) for name, path in _inputs()]
    for name, data in (*read, *(("with", each.encode()) for each in sorted(extras))):
        sha256.update(f"{name}\0{len(data)}\0".encode())
        sha256.update(data)
    return sha256.hexdigest()


def _inputs() -> Iterator[tuple[str, Path]]:
    for file in package_files(definition()):
        yield f"qvirt/{file.as_posix()}", PACKAGE / file
    for name, pattern in (
        ("images", "definition.toml"),
        ("images", "requirements-*.txt"),
        ("qemu", "init.sh"),
    ):
        for path in sorted(resources(name).glob(pattern)):
            yield f"{name}/{path.name}", path
    yield "qemu/stage2", resources("qemu") / "stage2"
