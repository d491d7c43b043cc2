"""The image for QEMU and libvirt: a read-only disk, a kernel and an initramfs."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from qvirt.images import manifest
from qvirt.images.definition import Definition
from qvirt.images.external import call
from qvirt.images.initramfs import write_initramfs
from qvirt.images.kernel import unpack_kernel


def write_disk(root: Path, target: Path, image_id: str, timestamp: int, log: Path) -> None:
    """erofs with LZ4 is the one that a guest without KVM reads fastest."""
    target.unlink(missing_ok=True)
    call(
        [
            *("mkfs.erofs", "-zlz4", f"-T{timestamp}", "--all-root", f"-U{uuid.UUID(image_id[:32])}"),
            *(target, root),
        ],
        log,
    )


def write_boot_files(root: Path, packages: Path, work: Path, wanted: Definition, log: Path) -> str:
    """The kernel and its initramfs, into ``work``. Returns the kernel's version."""
    unpacked = work / "kernel"
    kernel = unpack_kernel(packages, unpacked, log)
    shutil.copyfile(kernel.image, work / manifest.KERNEL)
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.is_file())
    write_initramfs(work / manifest.INITRD, busybox, kernel.modules, wanted.kernel.modules)
    shutil.rmtree(unpacked)
    return kernel.version
