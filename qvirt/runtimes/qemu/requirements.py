"""What the runtimes of QEMU guests need alike: Python libraries, and a machine made from the guest image."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from qvirt.errors import VMFailed
from qvirt.images.catalogue import Catalogue
from qvirt.model.vm import VM, ImageForm, Power
from qvirt.paths import Paths
from qvirt.runtimes.contract import Availability
from qvirt.runtimes.qemu import boot
from qvirt.runtimes.qemu.records import Machine

POWERS = frozenset({Power.PAUSE, Power.SNAPSHOT, Power.RESIZE, Power.CONSOLE})
LACKING = {
    Power.EXEC: "there is nothing in the guest that runs commands",
    Power.GPU: "a QEMU guest has no GPU",
    Power.WARM: "a machine of QEMU is kept warm by the memory template that its copies are made of",
}


def lacking(libraries: Mapping[str, str], extra: str) -> Availability | None:
    """That one of ``libraries``, names by module, is not installed; None where all are."""
    for module, name in libraries.items():
        if not _is_installed(module):
            reason = f"the Python library {name} is missing"
            return Availability(False, reason, f"pip install 'qvirt[{extra}]'")
    return None


def machine_for(paths: Paths, vm: VM, uri: str | None = None) -> Machine:
    """What the VM is made of. Raises NotFound and Conflict where the image lacks or is damaged."""
    boot.check(vm.spec)
    image = Catalogue(paths).find(vm.spec.image, ImageForm.QEMU)
    disk, kernel, initrd = (str(file.resolve()) for file in (image.disk, image.kernel, image.initrd))
    return Machine(vm.spec, disk, kernel, initrd, vm.owner is not None, vm.created, uri)


def require_image(machine: Machine) -> None:
    """Raises VMFailed where a file of the image has gone since the VM was made."""
    for file in (machine.disk, machine.kernel, machine.initrd):
        if not Path(file).exists():
            raise VMFailed(
                f"the image of VM {machine.spec.name} is gone: there is no {file}",
                hint="qvirt image build --for qemu, then make the VM again",
            )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False
