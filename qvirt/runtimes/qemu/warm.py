"""Memory templates: a guest that has booted and loaded its engines, of which new VMs are copies.

The template's memory lies in a file. Copies map it privately, so that a page is theirs as soon as they
write to it and shared by all until then. A template is for one machine model, one image, one QEMU and one
qvirt; where one of them changes its key does, and it is made anew. A template has a token of its own,
which a copy must lose (``Service.become``) before anybody else is told where it listens.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qvirt.errors import QvirtError, VMFailed
from qvirt.model.vm import Endpoint, VMSpec
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import Accelerator, accelerator
from qvirt.runtimes.qemu import boot, state
from qvirt.runtimes.qemu.command import Hardware, Lines, Memory, command, find_binary, version_of
from qvirt.runtimes.qemu.process import PREFIX, QemuProcess, free_port
from qvirt.runtimes.qemu.records import Machine, Records
from qvirt.runtimes.running import write
from qvirt.runtimes.service import Service
from qvirt.units import show_bytes
from qvirt.version import __version__

FORMAT = 2
"""Counts the changes in how a template is made that its key would not show."""

KEPT = 4
"""Templates, those that were used last."""

VM_PREFIX = "warm-"
"""Of the id of the VM that becomes a template."""

SHORT = 12
"""Digits of a key that people see."""

BOOT_SECONDS = 300.0
SAVE_SECONDS = 60.0
IDLE_SECONDS = 90.0
IDLE_SHARE = 0.2
"""Of one CPU: a guest that has loaded everything uses less."""

KERNEL_HEAD = 64 << 10
"""Octets of a kernel that QEMU looks at before it hands it to the guest, and more."""

MEMORY_USED = 768 << 20
"""Bytes of a template that are used at most, whatever its size: what booting and the engines take."""


@dataclass(frozen=True, slots=True)
class Template:
    """``basis`` is the hash of what it was made with; where that has changed it is of no use any more.

    ``disk`` is that of the image.
    """

    key: str
    basis: str
    token: str
    seconds: float
    disk: str

    @property
    def short(self) -> str:
        return self.key[:SHORT]


class Templates:
    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def why_not(self, spec: VMSpec) -> str | None:
        """Why a VM cannot be a copy: what a guest is told when it boots is the same for all copies."""
        if not spec.warm:
            return "asked for"
        if spec.environment:
            return "its environment variables must be there when the guest boots"
        return None

    def get(
        self, machine: Machine, hardware: Hardware, tell: Callable[[str], None] = lambda stage: None
    ) -> Template:
        """The template for such machines, made now where there is none. Raises VMFailed."""
        basis = _basis(hardware.binary, hardware.disk, hardware.accelerator)
        key = _key(machine.spec, hardware, basis)
        found = self._read(key)
        if found is None:
            tell("making a memory template, once for all VMs like it")
            with self._lock():
                found = self._read(key) or self._make(key, basis, machine, hardware)
                self._prune(basis)
        with suppress(OSError):
            os.utime(self._folder(key))
        return found

    def memory(self, template: Template) -> Path:
        return self._folder(template.key) / "memory"

    def state(self, template: Template) -> Path:
        return self._folder(template.key) / "state"

    def hardware(self, template: Template, hardware: Hardware) -> Hardware:
        """That of a copy. It never boots, so that it need not hold a kernel to boot from (17 MB)."""
        folder = self._folder(template.key)
        if not (folder / "kernel").exists():
            return hardware
        return replace(hardware, kernel=str(folder / "kernel"), initrd=str(folder / "initrd"))

    def remove(self, key: str) -> None:
        """VMs that are copies of it go on: they have the file open."""
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def prune(self, everything: bool) -> list[str]:
        """Remove those whose image or QEMU has gone or changed, or all, and halves; says what went."""
        removed = []
        for path in self._paths.warm.glob("*/template.json"):
            key = path.parent.name
            template = self._read(key)
            if everything or template is None or not _is_fresh(template):
                removed.append(f"memory template {key[:SHORT]} ({show_bytes(_disk_used(path.parent))})")
                self.remove(key)
        if not self.in_the_making:
            self._remove_halves()
        return removed

    @property
    def in_the_making(self) -> bool:
        """Whether some process is making one now."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    @property
    def _lock_file(self) -> Path:
        return self._paths.warm / "lock"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._paths.warm.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _folder(self, key: str) -> Path:
        return self._paths.warm / key

    def _read(self, key: str) -> Template | None:
        try:
            found = from_json((self._folder(key) / "template.json").read_bytes(), Template)
        except (OSError, QvirtError):
            return None
        return found if self.memory(found).exists() and self.state(found).exists() else None

    def _make(self, key: str, basis: str, machine: Machine, hardware: Hardware) -> Template:
        """Boot a VM, warm it up, save it. Whatever goes wrong, nothing of it stays."""
        self._paths.warm.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_disk(self._paths.warm, machine)
        began = time.monotonic()
        vm_id = f"{VM_PREFIX}{key[:SHORT]}"
        process = QemuProcess(self._paths, vm_id)
        records = Records(self._paths, "qemu", vm_id)
        part = self._paths.warm / f"{key}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        try:
            process.end(0)
            nobody_s = replace(machine.spec, name="warm", ttl=None, idle_stop=None)
            template_machine = replace(machine, owned=True, spec=nobody_s)
            records.make(template_machine, free_port())
            boot.write_config(self._paths, vm_id, template_machine, hardware.accelerator)
            with _until_ended(process):
                self._warm_up_and_save(process, records, hardware, part)
            _write_heads(hardware, part)
            seconds = round(time.monotonic() - began, 2)
            made = Template(key, basis, records.token, seconds, hardware.disk)
            write(part / "template.json", to_json(made))
            self.remove(key)
            part.rename(self._folder(key))
            return made
        except OSError as error:
            raise VMFailed(f"a memory template could not be kept: {error}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(records.folder, ignore_errors=True)

    def _warm_up_and_save(
        self, process: QemuProcess, records: Records, hardware: Hardware, part: Path
    ) -> None:
        vm_id = records.folder.name
        lines = lines_of(self._paths, vm_id, hardware)
        memory = Memory(part / "memory", shared=True)
        monitor, port = process.start(
            lambda port: command(hardware, memory, lines, port),
            records.port,
            hardware.cpus,
            owned=True,
            origin="booted to become a template",
        )
        with monitor:
            service = Service(Endpoint(records.token, url=f"http://127.0.0.1:{port}"))
            service.wait(BOOT_SECONDS, lambda: process.running is not None)
            service.warm_up(BOOT_SECONDS)
            _until_idle(process)
            monitor.execute("stop")
            state.save(monitor, part / "state", SAVE_SECONDS)

    def _prune(self, basis: str) -> None:
        """Remove those that were made with what is no longer here, all but a few, and halves of some."""
        self._remove_halves()
        found = sorted(
            self._paths.warm.glob("*/template.json"), key=lambda path: -path.parent.stat().st_mtime
        )
        kept = 0
        for path in found:
            template = self._read(path.parent.name)
            if template is not None and template.basis == basis and kept < KEPT:
                kept += 1
            else:
                self.remove(path.parent.name)

    def _remove_halves(self) -> None:
        for part in self._paths.warm.glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)


def _write_heads(hardware: Hardware, folder: Path) -> None:
    """An ELF kernel would be part of the memory of the machine: of that there is no head."""
    with Path(hardware.kernel).open("rb") as kernel:
        head = kernel.read(KERNEL_HEAD)
    if head[0x202:0x206] == b"HdrS":  # the boot protocol of Linux on x86
        write(folder / "kernel", head)
        write(folder / "initrd", bytes(512))


def lines_of(paths: Paths, vm_id: str, hardware: Hardware) -> Lines:
    return Lines(
        f"{PREFIX}{vm_id}",
        paths.vm_monitor(vm_id),
        paths.vm_console(vm_id),
        paths.vm_log(vm_id),
        tuple(boot.files(paths, vm_id, hardware.accelerator)),
    )


def _basis(binary: str, disk: str, accelerator: Accelerator) -> str:
    seen = Path(disk).stat()
    parts = [str(FORMAT), __version__, version_of(binary), disk]
    parts += [str(seen.st_size), str(seen.st_mtime_ns)]
    if accelerator.is_native:
        parts += [_processor()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_fresh(template: Template) -> bool:
    """Whether a VM could still be a copy of it."""
    binary = find_binary()
    try:
        return binary is not None and template.basis == _basis(binary, template.disk, accelerator())
    except OSError:
        return False


def _disk_used(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())


def _key(spec: VMSpec, hardware: Hardware, basis: str) -> str:
    """Of everything that must be equal in a template and its copies: machine, files, service."""
    nothing = Path("nothing")
    lines = Lines("name", nothing, nothing, nothing)
    machine = command(hardware, Memory(nothing), lines, 0)
    return hashlib.sha256("\0".join([basis, *machine, str(spec.spares)]).encode()).hexdigest()


def _processor() -> str:
    """A guest on KVM has seen what the processor can do: it cannot go on on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if line.startswith(("model", "flags", "stepping", "microcode")))


def _check_disk(folder: Path, machine: Machine) -> None:
    """A shared mapping of a file on a disk that is full ends the process that writes to it."""
    needed = min(machine.spec.memory, MEMORY_USED)
    free = shutil.disk_usage(folder).free
    if free < 2 * needed:
        raise VMFailed(f"a memory template may need {show_bytes(needed)}, and {show_bytes(free)} are free")


@contextmanager
def _until_ended(process: QemuProcess) -> Iterator[None]:
    try:
        yield
    finally:
        process.end(0)


def _until_idle(process: QemuProcess, sleep: Callable[[float], None] = time.sleep) -> None:
    """Until its guest has nothing left to load; not for ever."""
    import psutil

    running = process.running
    if running is None:
        raise VMFailed("the guest ended while it warmed up")
    qemu = psutil.Process(running.pid)
    deadline = time.monotonic() + IDLE_SECONDS
    quiet = 0
    qemu.cpu_percent()
    while quiet < 2 and time.monotonic() < deadline:
        sleep(0.5)
        quiet = quiet + 1 if qemu.cpu_percent() < 100 * IDLE_SHARE else 0
