"""The guest's first file system: busybox, the drivers that the kernel needs to find the disk, /init."""

from __future__ import annotations

import lzma
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from qvirt.errors import Unavailable
from qvirt.images.external import require
from qvirt.resources import resources

SIGNATURE = b"~Module signature appended~\n"
SIGNATURE_HEADER = 12


class Cpio:
    """Writes newc, the format of initramfs (Linux: driver-api/early-userspace/buffer-format)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inode = 0

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        path = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
        for part in (header, data):
            self._file.write(part + b"\0" * (-len(part) % 4))

    def folder(self, name: str) -> None:
        self.add(name, stat.S_IFDIR | 0o755)

    def close(self) -> None:
        self.add("TRAILER!!!", 0)


def write_initramfs(target: Path, busybox: Path, modules: Path, wanted: Sequence[str]) -> None:
    """``modules`` is the folder lib/modules/VERSION of the kernel."""
    drivers = dict(load_order(modules, wanted))
    with target.open("wb") as file:
        archive = Cpio(file)
        for folder in ("bin", "dev", "modules"):
            archive.folder(folder)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
        archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
        archive.add("init", stat.S_IFREG | 0o755, (resources("qemu") / "init.sh").read_bytes())
        archive.add("modules/order", stat.S_IFREG | 0o644, " ".join(drivers).encode() + b"\n")
        for name, data in drivers.items():
            archive.add(f"modules/{name}.ko", stat.S_IFREG | 0o644, data)
        archive.close()


def load_order(modules: Path, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted modules and what they depend on, what is needed by another before it.

    Raises Unavailable naming one that the kernel has neither as a module nor built in.
    """
    files = {_name(path): path for path in modules.rglob("*.ko*")}
    built_in = {_name(Path(line)) for line in _lines(modules / "modules.builtin")}
    done: set[str] = set()

    def needed(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name in built_in:
            return
        if name not in files:
            raise Unavailable(
                f"the kernel {modules.name} has no module {name}", hint="qvirt image prune --all, then build"
            )
        done.add(name)
        data = unsigned(_read(files[name]))
        for other in depends(data):
            yield from needed(other)
        yield name, data

    for name in wanted:
        yield from needed(name.replace("-", "_"))


def depends(module: bytes) -> list[str]:
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def unsigned(module: bytes) -> bytes:
    """Checking signatures takes a slow guest half a second; the host has checked the package's."""
    if not module.endswith(SIGNATURE):
        return module
    end = len(module) - len(SIGNATURE)
    length = int.from_bytes(module[end - 4 : end], "big")
    return module[: end - SIGNATURE_HEADER - length]


def _read(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run([require("zstd"), "-d", "-c", path], stdout=subprocess.PIPE, check=True).stdout
    return path.read_bytes()


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
