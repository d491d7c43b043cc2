"""KVM: absent, not ours, not KVM; and on this machine whatever it is, told the same way each time."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from qvirt.probe import kvm
from qvirt.probe.hypervisor import hypervisor


def test_absent(tmp_path: Path) -> None:
    assert kvm.unusable(tmp_path / "kvm") == f"{tmp_path}/kvm does not exist"


def test_not_kvm(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    assert "cannot be made" in str(kvm.unusable(tmp_path / "kvm"))


def _be_nobody() -> None:
    if os.getuid() == 0:  # root may open everything
        os.setuid(65534)


def test_permission_denied(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch(mode=0)
    with multiprocessing.get_context("fork").Pool(1, _be_nobody) as child:
        reason = child.apply(kvm.unusable, (tmp_path / "kvm",))
    assert reason == f"{tmp_path}/kvm: permission denied"


def test_this_machine_in_a_child_process() -> None:
    """The trial in a child process says what the trial here says."""
    found = hypervisor()
    assert found.kvm_present == kvm.DEVICE.exists()
    assert found.kvm_reason == kvm.unusable()
    assert found.kvm_usable == (found.kvm_reason is None)
