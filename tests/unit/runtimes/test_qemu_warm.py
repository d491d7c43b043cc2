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


def write_template(folder: Path, basis: str, disk: str = "disk") -> None:
    folder.mkdir(parents=True)
    template = Template(folder.name, basis, "token", 1.0, disk)
    (folder / "template.json").write_bytes(to_json(template))
    for name in ("memory", "state"):
        (folder / name).write_text("much")


def key(spec: VMSpec, hardware: Hardware) -> str:
    return warm._key(spec, hardware, warm._basis(hardware.binary, hardware.disk, hardware.accelerator))


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


def test_a_lifetime_is_told_to_a_copy(hardware: Hardware, tmp_path: Path) -> None:
    short = replace(SPEC, ttl=5.0, idle_stop=5.0)
    assert Templates(Paths(tmp_path)).why_not(short) is None
    assert key(short, hardware) == key(SPEC, hardware)


@pytest.mark.parametrize("changed", [{"warm": False}, {"environment": {"A": "1"}}])
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
        basis = "old" if number == warm.KEPT + 2 else "new"
        write_template(folder, basis)
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
    (folder / "template.json").write_bytes(to_json(Template("key", "basis", "token", 1.0, "disk")))
    assert Templates(paths)._read("key") is None


def test_prune_removes_those_whose_image_or_qemu_has_changed(
    hardware: Hardware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "find_binary", lambda: hardware.binary)
    monkeypatch.setattr(warm, "accelerator", lambda: hardware.accelerator)
    paths = Paths(tmp_path / "home")
    templates = Templates(paths)
    for name in ("gone", "stays"):
        disk = tmp_path / f"{name}.erofs"
        disk.write_text("a disk")
        basis = warm._basis(hardware.binary, str(disk), hardware.accelerator)
        write_template(paths.warm / name, basis, str(disk))
    (paths.warm / "half.part").mkdir()
    assert templates.prune(everything=False) == []
    assert not (paths.warm / "half.part").exists()
    (tmp_path / "gone.erofs").unlink()
    (told,) = templates.prune(everything=False)
    assert told.startswith("memory template gone (")
    assert [path.name for path in paths.warm.glob("*/")] == ["stays"]
    monkeypatch.setattr(warm, "find_binary", lambda: None)
    assert len(templates.prune(everything=False)) == 1


def test_prune_removes_all_when_it_is_told_to_but_none_in_the_making(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    templates = Templates(paths)
    write_template(paths.warm / "key", "basis")
    (paths.warm / "half.part").mkdir()
    with templates._lock():
        assert len(templates.prune(everything=True)) == 1
        assert (paths.warm / "half.part").exists()
    assert templates.prune(everything=True) == []
    assert [path.name for path in paths.warm.iterdir()] == ["lock"]
