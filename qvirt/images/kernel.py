"""The distribution's kernel for virtual machines, fetched as a package and unpacked, never installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qvirt.errors import Unavailable
from qvirt.images.definition import KernelChoice
from qvirt.images.external import call
from qvirt.images.system import System


@dataclass(frozen=True, slots=True)
class Kernel:
    version: str
    image: Path
    modules: Path


def folder_name(system: System) -> str:
    return f"kernel-{system.suite}-{system.architecture}"


def fetch_kernel(system: System, choice: KernelChoice, target: Path, log: Path) -> None:
    """The packages with the newest kernel and its modules, into ``target``."""
    meta = {"debian": choice.debian, "ubuntu": choice.ubuntu}[system.family]
    names = _packages(meta.format(architecture=system.architecture), log)
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    call(["apt-get", "download", *names], log, cwd=partial)
    partial.replace(target)


def unpack_kernel(packages: Path, target: Path, log: Path) -> Kernel:
    for path in sorted(packages.glob("*.deb")):
        call(["dpkg", "-x", path, target], log)
    images = sorted(target.glob("boot/vmlinuz-*"))
    if not images:
        raise Unavailable(f"{packages} has no kernel in it", hint="remove that folder, then build again")
    version = images[-1].name.removeprefix("vmlinuz-")
    modules = next((path for path in target.glob(f"**/lib/modules/{version}") if path.is_dir()), None)
    if modules is None:
        raise Unavailable(f"{packages} has no modules for kernel {version}")
    return Kernel(version, images[-1], modules)


def _packages(meta: str, log: Path) -> list[str]:
    """What a kernel's meta-package leads to: the packages with the image and the modules."""
    found: list[str] = []
    waiting = [meta]
    while waiting:
        name = waiting.pop()
        wanted = re.findall(r"Depends: (linux-(?:image|modules)-[^\s<>]+)", _depends(name, log))
        fresh = [each for each in wanted if each not in found]
        found += fresh
        waiting += fresh
    if not found:
        raise Unavailable(f"apt knows no kernel by the name {meta}", hint="apt-get update")
    return found


def _depends(package: str, log: Path) -> str:
    return call(["apt-cache", "depends", "--important", package], log)
