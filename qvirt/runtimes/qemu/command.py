"""QEMU's command line: one machine model for guests that boot, for templates and for their copies."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu.boot import GUEST_PORT

BINARY = "qemu-system-x86_64"

TRANSLATED_MIB = 256
"""For code that was translated (TCG). QEMU's own choice grows with the guest and counts as our overhead."""

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What must be the same for a machine and for the saved state that it is started from."""

    binary: str
    accelerator: Accelerator
    mebibytes: int
    cpus: int
    disk: str
    kernel: str
    initrd: str
    kernel_line: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the guest: anonymous, or mapped from ``file``; only a ``shared`` mapping writes to it."""

    file: Path | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """What ties a machine to this VM: its name, sockets, log, the files for its guest, its port."""

    name: str
    monitor: Path
    console: Path
    log: Path
    files: tuple[tuple[str, Path], ...] = field(default=())


def find_binary() -> str | None:
    return shutil.which(BINARY)


def version_of(binary: str) -> str:
    """Changes whenever the file does, and is known without running it."""
    found = Path(binary).resolve()
    status = found.stat()
    return hashlib.sha256(f"{found} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def command(
    hardware: Hardware, memory: Memory, lines: Lines, port: int, *, waiting: bool = False
) -> list[str]:
    """One that is ``waiting`` does not boot: it is told by its monitor where to read its state."""
    arguments = [hardware.binary, "-name", lines.name, "-nodefaults", "-no-user-config", "-no-reboot"]
    arguments += ["-display", "none", "-machine", "q35,usb=off,vmport=off,memory-backend=ram"]
    arguments += ["-accel", _accel(hardware.accelerator)]
    arguments += ["-cpu", "host" if hardware.accelerator.is_native else "max"]
    arguments += ["-smp", str(hardware.cpus), "-m", f"{hardware.mebibytes}M"]
    arguments += ["-object", _backend(memory, hardware.mebibytes)]
    arguments += ["-kernel", hardware.kernel, "-initrd", hardware.initrd, "-append", hardware.kernel_line]
    arguments += ["-drive", f"if=none,id=root,format=raw,readonly=on,file={_escaped(hardware.disk)}"]
    arguments += ["-device", "virtio-blk-pci,drive=root"]
    # No way out of the guest, and one way in.
    forward = f"hostfwd=tcp:127.0.0.1:{port}-:{GUEST_PORT}"
    arguments += ["-netdev", f"user,id=net,restrict=on,ipv6=off,{forward}"]
    arguments += ["-device", "virtio-net-pci,netdev=net,romfile="]
    arguments += [
        "-chardev",
        f"{_socket('console', lines.console)},logfile={_escaped(lines.log)},logappend=on",
    ]
    arguments += ["-serial", "chardev:console"]
    arguments += ["-chardev", _socket("monitor", lines.monitor), "-mon", "chardev=monitor,mode=control"]
    for name, path in lines.files:
        arguments += ["-fw_cfg", f"name={name},file={_escaped(path)}"]
    if sys.platform == "linux":
        arguments += ["-sandbox", SANDBOX]
    return [*arguments, "-incoming", "defer"] if waiting else arguments


def _accel(accelerator: Accelerator) -> str:
    return accelerator.name if accelerator.is_native else f"tcg,tb-size={TRANSLATED_MIB}"


def _backend(memory: Memory, mebibytes: int) -> str:
    if memory.file is None:
        return f"memory-backend-ram,id=ram,size={mebibytes}M"
    share = "on" if memory.shared else "off"
    return f"memory-backend-file,id=ram,size={mebibytes}M,mem-path={_escaped(memory.file)},share={share}"


def _socket(name: str, path: Path) -> str:
    return f"socket,id={name},path={_escaped(path)},server=on,wait=off"


def _escaped(path: Path | str) -> str:
    """A comma ends a value in QEMU's options, unless it is doubled."""
    return str(path).replace(",", ",,")
