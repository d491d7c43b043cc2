"""What a guest is told when it boots: the kernel's command line, and files by QEMU's fw_cfg device.

The command line can be read by everybody in the guest and on the host; secrets go by the files. The other
end is qemu/stage2 in the image.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from qvirt.errors import Unsupported
from qvirt.model.vm import VMSpec
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.lifetime import last_words, lifetime
from qvirt.runtimes.qemu.records import Machine
from qvirt.runtimes.qemu.rendering import render
from qvirt.runtimes.running import write

GUEST_PORT = 8000
CALIBRATION_IN_GUEST = "/run/qvirt/calibration.json"
LAST_LINES = 8
"""Of the console, among which a guest's last words are: the kernel says that it powers off after them."""


def check(spec: VMSpec) -> None:
    """Raises Unsupported for what a machine of QEMU cannot be given."""
    if spec.gpu:
        raise Unsupported("a QEMU VM has no GPU", hint="use --runtime process or docker")
    if spec.volumes:
        raise Unsupported(
            "a QEMU VM has no volumes: the kernel of the guest image shares no folders with the host",
            hint="use --runtime docker",
        )


def kernel_line(spec: VMSpec, accelerator: Accelerator) -> str:
    rendered = render(
        "cmdline.j2", root="/dev/vda", file_system="erofs", disk=spec.disk, accelerator=accelerator.name
    )
    return " ".join(rendered.split())


def files(paths: Paths, vm_id: str, accelerator: Accelerator) -> Iterator[tuple[str, Path]]:
    """What goes into fw_cfg, by name. Costs that were measured outside say nothing of a translated guest."""
    yield "opt/qvirt/config", paths.vm_config(vm_id)
    yield "opt/qvirt/token", paths.vm_token(vm_id)
    if accelerator.is_native and paths.calibration.exists():
        yield "opt/qvirt/calibration", paths.calibration


def write_config(paths: Paths, vm_id: str, machine: Machine, accelerator: Accelerator) -> None:
    spec = machine.spec
    arguments = ["--memory", str(machine.mebibytes << 20), "--cpus", str(spec.cpus)]
    arguments += ["--spares", str(spec.spares)]
    if "opt/qvirt/calibration" in dict(files(paths, vm_id, accelerator)):
        arguments += ["--calibration", CALIBRATION_IN_GUEST]
    arguments += lifetime(spec, machine.created, time.time())
    if not accelerator.is_native:
        arguments += ["--slowdown", f"{accelerator.slowdown:g}"]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in spec.environment.items()]
    lines += [f"ARGS={shlex.quote(shlex.join(arguments))}", f"HOSTNAME={shlex.quote(spec.name)}", ""]
    write(paths.vm_config(vm_id), "\n".join(lines).encode())


def last_words_on_console(log: str) -> str | None:
    """Why the guest ended by itself, where it said so."""
    return next(filter(None, map(last_words, reversed(log.splitlines()[-LAST_LINES:]))), None)


def trouble_on_console(log: str) -> str | None:
    """What the kernel or the guest's first process said of its end."""
    for line in reversed(log.splitlines()[-LAST_LINES * 8 :]):
        if "Kernel panic" in line or line.startswith("qvirt: "):
            return line.removeprefix("qvirt: ").strip()
    return None
