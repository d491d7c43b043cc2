"""Where a control group may be made, on trees of files as both versions have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qvirt.paths import Paths
from qvirt.runtimes import cgroups
from qvirt.runtimes.process import ProcessRuntime

MOUNT = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
MOUNT_V1 = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def _machine(root: Path, *, v1: bool = False, group: str = "/user/app/shell") -> Path:
    """A machine whose process is in ``group``; gives the folder of that group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(MOUNT_V1 if v1 else MOUNT)
    (root / "proc/self/cgroup").write_text(f"4:memory:{group}\n" if v1 else f"0::{group}\n")
    mount = root / "sys/fs/cgroup" / ("memory" if v1 else "")
    folder = mount / group.lstrip("/")
    folder.mkdir(parents=True)
    for each in (folder, *folder.relative_to(mount).parents):
        place = mount / each
        if v1:
            (place / "memory.limit_in_bytes").write_text(str(2**63 - 4096))
        else:
            (place / "cgroup.controllers").write_text("cpu memory")
            (place / "cgroup.subtree_control").write_text("" if place == folder else "cpu memory")
            (place / "memory.max").write_text("max")
            (place / "cpu.max").write_text("max 100000")
    return folder


def test_version_1_makes_it_under_our_own(tmp_path: Path) -> None:
    folder = _machine(tmp_path, v1=True)
    found = cgroups.parent(tmp_path)
    assert found is not None
    assert (found.version, found.folder) == (1, folder)


def test_version_2_makes_it_beside_our_own(tmp_path: Path) -> None:
    folder = _machine(tmp_path)
    found = cgroups.parent(tmp_path)
    assert found is not None
    assert (found.version, found.folder) == (2, folder.parent)


@pytest.mark.parametrize(("name", "limit"), [("memory.max", "1000000"), ("cpu.max", "50000 100000")])
def test_a_limit_on_our_own_group_is_not_escaped(tmp_path: Path, name: str, limit: str) -> None:
    folder = _machine(tmp_path)
    (folder / name).write_text(limit)
    assert cgroups.parent(tmp_path) is None


def test_a_limit_on_the_group_above_still_holds_what_is_made_in_it(tmp_path: Path) -> None:
    folder = _machine(tmp_path)
    (folder.parent / "memory.max").write_text("1000000")
    found = cgroups.parent(tmp_path)
    assert found is not None
    assert found.folder == folder.parent


def test_no_group_without_the_controller(tmp_path: Path) -> None:
    folder = _machine(tmp_path)
    for place in (folder.parent, folder.parent.parent, tmp_path / "sys/fs/cgroup"):
        (place / "cgroup.subtree_control").write_text("cpu")
    assert cgroups.parent(tmp_path) is None


def test_the_real_thing_holds_a_limit_and_leaves_nothing(tmp_path: Path) -> None:
    parent = cgroups.parent()
    if parent is None:
        assert "RLIMIT" in ProcessRuntime(Paths(tmp_path)).probe().reason
        return
    folder = parent.folder / f"qvirt-test-{os.getpid()}"
    try:
        cgroups.create(folder, 64 << 20)
        cgroups.create(folder, 64 << 20)
        assert cgroups.memory_limit(folder) == 64 << 20
        for memory in (256 << 20, 32 << 20):
            cgroups.set_memory(folder, memory)
            assert cgroups.memory_limit(folder) == memory
        assert cgroups.members(folder) == []
        assert cgroups.version(folder) == parent.version
    finally:
        cgroups.remove(folder)
    assert not folder.exists()
    cgroups.remove(folder)


def test_what_a_killed_qvirt_has_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("qvirt-old", "qvirt-young", "somebody"))
    for folder in (old, young, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (1.0, 1.0))
    cgroups.create(tmp_path / "qvirt-new", 1)
    assert {path.name for path in tmp_path.iterdir()} == {"qvirt-young", "qvirt-new", "somebody"}
