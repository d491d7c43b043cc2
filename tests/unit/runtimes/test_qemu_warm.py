"""Which VMs may be copies of which template."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.model.vm import VMSpec
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu import warm
from qvirt.runtimes.qemu.command import Hardware
from qvirt.runtimes.qemu.warm import Template, Templates

SPEC = VMSpec("lab", "qemu", memory=512 << 20)


@pytest.fixture
def hardware(tmp_path: Path) -> Hardware:
    for name in ("qemu", "disk"):
        (tmp_path / name).write_text(name)
    tcg = Accelerator("tcg", "there is no KVM", 40.0)
    files = str(tmp_path / "disk"), "/kernel", "/initrd"
    return Hardware(str(tmp_path / "qemu"), tcg, 512, 1, *files, "console=ttyS0")


def key(spec: VMSpec, hardware: Hardware) -> str:
    return warm._key(spec, hardware, warm._basis(hardware))


def test_the_key_is_the_same_for_vms_that_differ_in_name_only(hardware: Hardware) -> None:
    assert key(SPEC, hardware) == key(replace(SPEC, name="other", restart="always"), hardware)


@pytest.mark.parametrize("changed", [{"mebibytes": 600}, {"cpus": 2}, {"kernel_line": "quiet"}])
def test_the_key_changes_with_the_machine(hardware: Hardware, changed: dict[str, object]) -> None:
    assert key(SPEC, hardware) != key(SPEC, replace(hardware, **changed))  # type: ignore[arg-type]


def test_the_key_changes_with_the_spares(hardware: Hardware) -> None:
    assert key(SPEC, hardware) != key(replace(SPEC, spares=0), hardware)


@pytest.mark.parametrize("file", ["qemu", "disk"])
def test_the_key_changes_with_qemu_and_with_the_image(hardware: Hardware, tmp_path: Path, file: str) -> None:
    before = key(SPEC, hardware)
    (tmp_path / file).write_text("another version")
    assert key(SPEC, hardware) != before


def test_the_key_changes_with_the_version_of_qvirt(
    hardware: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(SPEC, hardware)
    monkeypatch.setattr(warm, "__version__", "99.0")
    assert key(SPEC, hardware) != before


@pytest.mark.parametrize(
    "changed", [{"warm": False}, {"ttl": 5.0}, {"idle_stop": 5.0}, {"environment": {"A": "1"}}]
)
def test_what_a_guest_must_know_when_it_boots_cannot_be_copied(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    templates = Templates(Paths(tmp_path))
    assert templates.why_not(SPEC) is None
    assert templates.why_not(replace(SPEC, **changed))  # type: ignore[arg-type]


def test_templates_of_another_qemu_and_all_but_a_few_are_removed(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    templates = Templates(paths)
    for number in range(warm.KEPT + 3):
        folder = paths.warm / f"key{number}"
        folder.mkdir(parents=True)
        basis = "old" if number == warm.KEPT + 2 else "new"
        (folder / "template.json").write_bytes(to_json(Template(folder.name, basis, "token", 1.0)))
        for name in ("memory", "state"):
            (folder / name).touch()
        used = time.time() - 100 + number
        os.utime(folder, (used, used))
    (paths.warm / "key.part").mkdir()
    templates._prune("new")
    assert {path.name for path in paths.warm.iterdir()} == {
        f"key{number}" for number in range(2, warm.KEPT + 2)
    }


def test_half_a_template_is_none(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    folder = paths.warm / "key"
    folder.mkdir(parents=True)
    (folder / "template.json").write_bytes(to_json(Template("key", "basis", "token", 1.0)))
    assert Templates(paths)._read("key") is None
