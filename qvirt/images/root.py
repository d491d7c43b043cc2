"""The guest's root file system as a folder: what every form of the image is made from."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from qvirt.errors import Unavailable
from qvirt.images import wheels
from qvirt.images.definition import PACKAGE, Definition, package_files
from qvirt.images.external import call
from qvirt.resources import resources

NOBODY = 65534
STAGE2 = "usr/lib/qvirt/stage2"

FOLDERS = ("dev", "proc", "sys", "run/qvirt", "tmp", "root", "etc", "bin", "usr/lib/qvirt")

MERGED = ("bin", "lib", "lib64", "sbin")
"""Links to those under usr/, as every release has them; not every package knows that."""

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "qvirt\n",
    "etc/resolv.conf": "",
    "etc/os-release": 'ID=qvirt\nNAME="qvirt guest"\n',
}
"""What the maintainer scripts would have made, as far as the guest needs it."""


def unpack(archive: Path, folder: Path, log: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    call(["tar", "-x", "-f", archive, "-C", folder, "--no-same-owner", "--exclude=./dev/*"], log)


def furnish(folder: Path, wanted: Definition) -> None:
    """Take out what nobody needs, put in what no package has."""
    for name in MERGED:
        if not (folder / name).is_symlink():
            _merge(folder / name, folder / "usr" / name)
            (folder / name).symlink_to(f"usr/{name}")
    for pattern in wanted.removed:
        for path in sorted(folder.glob(pattern)):
            _remove(path)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        path = folder / name
        path.unlink(missing_ok=True)  # it may be a link that leads out of the root
        path.write_text(text)
    for name in wanted.applets:
        command = folder / "usr/bin" / name
        if not os.path.lexists(command):
            command.symlink_to("busybox")
    shutil.copyfile(resources("qemu") / "stage2", folder / STAGE2)


def install(
    folder: Path, wanted: Definition, target: wheels.Target, house: Path, fetch: bool, log: Path
) -> dict[str, str]:
    """Python's packages and qvirt's files; the wheels come from ``house``, to which the rest is fetched."""
    if fetch:
        wheels.fetch_wheels(wanted, target, house, log)
    into = _packages_folder(folder, target.python)
    into.mkdir(parents=True, exist_ok=True)
    used = wheels.install_wheels(wanted, target, house, into, log)
    shutil.rmtree(into / "bin", ignore_errors=True)
    for file in package_files(wanted):
        (into / "qvirt" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / file, into / "qvirt" / file)
    for path in list(_unneeded(into, wanted)):
        _remove(path)
    return used


def compile_all(folder: Path, target: wheels.Target, log: Path) -> None:
    """By the image's own Python, so that it need not be the host's, nor the host's root."""
    libraries = [folder / name / f"{target.machine}-linux-gnu" for name in ("lib", "usr/lib")]
    loader = next((path for each in libraries for path in each.glob("ld-linux-*.so.*")), None)
    if loader is None:
        raise Unavailable(f"the base in {folder} has no dynamic loader")
    call(
        [
            *(loader, "--inhibit-cache", "--library-path", os.pathsep.join(map(str, libraries))),
            *(folder / f"usr/bin/python{target.python}", "-s", "-S", "-m", "compileall", "-q", "-f"),
            *("--invalidation-mode", "unchecked-hash", "-s", folder, "-p", "/"),
            *(folder / f"usr/lib/python{target.python}", _packages_folder(folder, target.python)),
        ],
        log,
        environment={"PYTHONHOME": str(folder / "usr"), "PYTHONHASHSEED": "0", "PYTHONPATH": ""},
    )


def settle(folder: Path, timestamp: int) -> None:
    """The same modes and times whoever builds it, and nothing that lends another user's rights."""
    for path in _walk(folder):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.lstat().st_mode)
            runs = path.is_dir() or mode & 0o100
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (timestamp, timestamp), follow_symlinks=False)
    (folder / "tmp").chmod(0o1777)
    (folder / "root").chmod(0o700)


def _packages_folder(folder: Path, python: str) -> Path:
    return folder / f"usr/local/lib/python{python}/dist-packages"


def _unneeded(into: Path, wanted: Definition) -> Iterator[Path]:
    for pattern in wanted.removed_paths:
        yield from sorted(into.glob(pattern))
    for path in _walk(into):
        if path.name in wanted.removed_names or path.suffix in wanted.removed_suffixes:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    """All in it and itself, in the same order everywhere; links are not followed."""
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _merge(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()) if source.exists() else ():
        into = target / path.name
        if path.is_dir() and not path.is_symlink() and into.is_dir():
            _merge(path, into)
        else:
            path.replace(into)
    if source.exists():
        source.rmdir()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
