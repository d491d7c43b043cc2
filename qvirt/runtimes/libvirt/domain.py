"""The domain of a VM: its XML, and how it is found in libvirt."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from qvirt.paths import Paths
from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu import boot
from qvirt.runtimes.qemu.process import PREFIX
from qvirt.runtimes.qemu.records import Machine
from qvirt.runtimes.qemu.rendering import render

if TYPE_CHECKING:
    import libvirt

NAMESPACE = "urn:qvirt:vm"
_UUIDS = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE)


def name_of(vm_id: str) -> str:
    return f"{PREFIX}{vm_id}"


def xml(
    paths: Paths, vm_id: str, machine: Machine, accelerator: Accelerator, port: int, cpus: tuple[int, ...]
) -> str:
    """``cpus`` are those of the host that it is bound to; none leaves that open."""
    return render(
        "domain.xml.j2",
        domain=name_of(vm_id),
        uuid=_uuid(vm_id),
        namespace=NAMESPACE,
        name=machine.spec.name,
        vm_id=vm_id,
        home=paths.home,
        native=accelerator.is_native,
        mebibytes=machine.mebibytes,
        cpus=machine.spec.cpus,
        cpuset=",".join(map(str, cpus)),
        disk=machine.disk,
        kernel=machine.kernel,
        initrd=machine.initrd,
        kernel_line=boot.kernel_line(machine.spec, accelerator),
        files=list(boot.files(paths, vm_id, accelerator)),
        console=paths.vm_console(vm_id),
        log=paths.vm_log(vm_id),
        port=port,
        guest_port=boot.GUEST_PORT,
    )


def find(connection: libvirt.virConnect, vm_id: str) -> libvirt.virDomain | None:
    import libvirt

    try:
        return connection.lookupByUUIDString(_uuid(vm_id))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def all_of(connection: libvirt.virConnect, paths: Paths) -> Iterator[str]:
    """The VM ids of all domains that were made for this state directory."""
    import libvirt

    for domain in connection.listAllDomains():
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
        except libvirt.libvirtError:  # it has none, or has gone
            continue
        element = ElementTree.fromstring(text)  # noqa: S314  (libvirt wrote it)
        if element.get("home") == str(paths.home) and element.get("id"):
            yield str(element.get("id"))


def _uuid(vm_id: str) -> str:
    return str(uuid.uuid5(_UUIDS, vm_id))
