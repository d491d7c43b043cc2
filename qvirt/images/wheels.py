"""The Python packages of the image: wheels for the image's Python, whichever Python this is."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qvirt.errors import QvirtError, Unavailable
from qvirt.images import manifest
from qvirt.images.definition import Definition, lock
from qvirt.images.external import call
from qvirt.images.system import System

OLDEST_GLIBC = 17


@dataclass(frozen=True, slots=True)
class Target:
    """The Python (``3.11``) and the C library (``2.36``) that the wheels are for."""

    python: str
    glibc: str
    machine: str

    def arguments(self) -> list[str]:
        minor = int(self.glibc.split(".")[1])
        names = [f"manylinux_2_{each}_{self.machine}" for each in range(minor, OLDEST_GLIBC - 1, -1)]
        names += [f"manylinux2014_{self.machine}", f"linux_{self.machine}"]
        platforms = [word for name in names for word in ("--platform", name)]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}", *platforms]


def target(root: Path, packages: dict[str, str], system: System) -> Target:
    """Of an unpacked base. Raises Unavailable where it has no Python or no C library."""
    found = (re.fullmatch(r"python(3\.\d+)", path.name) for path in root.glob("usr/bin/python3.*"))
    pythons = sorted(match[1] for match in found if match)
    glibc = packages.get("libc6")
    if not pythons or glibc is None:
        lacking = "Python" if glibc else "C library whose version it tells"
        raise Unavailable(f"the base made of {system.name} has no {lacking}")
    return Target(pythons[0], glibc.partition("-")[0], system.machine)


def requirements(wanted: Definition, python: str) -> list[list[str]]:
    """What pip is asked for, call by call. Of the extras only what the others need too is pinned."""
    locked = lock(python)
    extras = list(wanted.extras.values())
    if locked is None:
        return [[*wanted.requirements, *extras], ["--no-deps", *wanted.bare_requirements]]
    asked = [["--no-deps", "--requirement", str(locked)]]
    return [*asked, ["--constraint", str(locked), *extras]] if extras else asked


def fetch_wheels(wanted: Definition, target: Target, house: Path, log: Path) -> None:
    """Into ``house``, what it does not have yet; nothing is asked of the network where it has all."""
    for arguments in requirements(wanted, target.python):
        wheels = [*target.arguments(), "--find-links", str(house), "--dest", str(house), *arguments]
        try:
            _pip("download", ["--no-index", *wheels], log)
        except QvirtError:
            _pip("download", wheels, log)


def install_wheels(wanted: Definition, target: Target, house: Path, into: Path, log: Path) -> dict[str, str]:
    """The SHA-256 of the wheels, by name. Raises Unavailable naming what ``house`` does not have."""
    options = ["--no-index", "--find-links", str(house), "--target", str(into), "--upgrade", "--no-compile"]
    # `pip install` asks the Python that runs it, whatever --python-version says: the download asked right.
    options.append("--ignore-requires-python")
    for arguments in requirements(wanted, target.python):
        _pip("install", [*options, *target.arguments(), *arguments], log)
    return _installed(house, into)


def _installed(house: Path, into: Path) -> dict[str, str]:
    names = {path.name.removesuffix(".dist-info").lower() for path in into.glob("*.dist-info")}
    return {
        path.name: manifest.digest(path)
        for path in sorted(house.glob("*.whl"))
        if "-".join(path.name.split("-")[:2]).lower() in names
    }


def _pip(command: str, arguments: Sequence[str], log: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    try:
        call([*pip, command, *arguments], log)
    except Unavailable as error:
        if "No module named pip" in error.message:
            raise Unavailable("this Python has no pip", hint=f"{sys.executable} -m ensurepip") from None
        lacking = re.search(r"No matching distribution found for (\S+)", error.message)
        if lacking:
            raise Unavailable(
                f"there is no wheel of {lacking[1]} for the Python of the image",
                hint="without --wheelhouse, and with a network, `qvirt image build` fetches what is missing",
            ) from None
        raise
