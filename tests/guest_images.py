"""The guest images of whoever runs the tests, seen from the state directories that tests make."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from qvirt.errors import QvirtError
from qvirt.images.catalogue import Catalogue, Image
from qvirt.model.vm import ImageForm
from qvirt.paths import Paths, default_home
from qvirt.runtimes.contract import Runtime
from qvirt.runtimes.registry import runtime

R = TypeVar("R", bound=Runtime)

MACHINES = frozenset({"qemu", "libvirt"})
"""Runtimes whose tests boot machines: scripts/test runs them beside all others."""

_OWN = Paths(default_home())
"""Looked up when this is imported: the tests themselves run with another one."""


def lend(form: ImageForm, home: Path) -> Paths:
    """A state directory that has the images, and shares its memory templates with all tests.

    Skips the test where there is no image for this form.
    """
    _own(form)
    home.mkdir(parents=True, exist_ok=True)
    for name, real in (("images", _OWN.images), ("warm", _templates())):
        link = home / name
        if not link.exists():
            link.symlink_to(real, target_is_directory=True)
    return Paths(home)


def each_of(names: Iterable[str]) -> list[Any]:
    """Runtimes as parameters of a test."""
    return [pytest.param(name, marks=pytest.mark.machines if name in MACHINES else ()) for name in names]


def equipped(name: str, home: Path) -> Runtime:
    """On a state directory that has the image it needs. Skips the test where it is not available."""
    form = runtime(name, Paths(home)).capabilities().image
    if form is not None:
        lend(form, home)
    return usable(runtime(name, Paths(home)))


def usable(found: R) -> R:
    """The runtime itself. Skips the test where it is not available."""
    available = found.probe()
    if not available.available:
        pytest.skip(f"{found.name}: {available.reason}")
    return found


def copy(form: ImageForm, home: Path) -> Image:
    """An image of the state directory's own: a test may remove it, or put other files in its place."""
    folder = Path(_own(form).folder)
    into = home / "images" / folder.name
    into.mkdir(parents=True)
    for file in folder.iterdir():
        try:
            os.link(file, into / file.name)
        except OSError:  # it lies on another disk
            shutil.copyfile(file, into / file.name)
    return Catalogue(Paths(home)).find(None, form)


def empty(file: Path) -> None:
    """Nothing but zeros, as many octets as before: what no look at its size will find."""
    size = file.stat().st_size
    file.unlink()
    with file.open("wb") as zeros:
        zeros.truncate(size)


def _own(form: ImageForm) -> Image:
    try:
        return Catalogue(_OWN).find(None, form)
    except QvirtError as error:
        pytest.skip(f"{error.message} in {_OWN.home}: {error.hint}")


@cache
def _templates() -> Path:
    """Gone when the tests have ended."""
    folder = tempfile.TemporaryDirectory(prefix="qvirt-warm-")
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []
