from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.errors import NotFound
from qvirt.host.vms import VMs
from qvirt.images.definition import content_hash
from qvirt.model.vm import VM, VMSpec, VMState
from qvirt.paths import Paths
from qvirt.runtimes.registry import runtime
from qvirt.store import Store


@pytest.fixture
def vms(tmp_path: Path) -> VMs:
    paths = Paths(tmp_path)
    return VMs(Store(paths), paths, lambda name: runtime(name, paths))


@pytest.mark.parametrize(("image", "outdated"), [(None, False), ("ab" * 32, True), (content_hash(), False)])
def test_a_vm_of_another_image_than_this_qvirt_s_is_outdated(
    vms: VMs, image: str | None, outdated: bool
) -> None:
    assert vms.is_outdated(VM("1", VMSpec("lab", image=image), VMState.RUNNING, 0.0)) is outdated


@pytest.mark.parametrize("name", ["docker", "qemu", "libvirt"])
def test_without_an_image_nothing_is_made_and_the_hint_says_how_to_get_one(vms: VMs, name: str) -> None:
    with pytest.raises(NotFound) as raised:
        vms.create(VMSpec("lab", name))
    assert "qvirt image build" in (raised.value.hint or "")
    assert vms.all() == []
