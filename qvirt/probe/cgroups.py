"""The control groups of this process, v1 and v2: what they limit, and how much of it is left.

A limit on any group above counts too, so every group from the process's own up to the mount point is
read. In a container the paths in /proc/self/cgroup may be those of the host and exist nowhere here;
what exists of such a path is read, and that is at least the mount point: the container's own group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Cgroup:
    """``folder`` is where the group's files are; ``name`` what messages call it."""

    version: int
    folder: Path
    name: str


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """Bytes that a group may use, and how many of them are not used yet."""

    limit: int
    available: int
    source: str


@dataclass(frozen=True, slots=True)
class CpuQuota:
    cpus: float
    source: str


def memory_limits(root: Path = Path("/")) -> list[MemoryLimit]:
    limits = []
    for group in chain("memory", root):
        limit = _memory_limit(group)
        if limit is not None:
            source = f"cgroup v{group.version} memory limit of {group.name}"
            limits.append(MemoryLimit(limit, max(0, limit - _memory_used(group)), source))
    return limits


def cpu_quotas(root: Path = Path("/")) -> list[CpuQuota]:
    quotas = []
    for group in chain("cpu", root):
        cpus = _cpu_quota(group)
        if cpus is not None:
            quotas.append(CpuQuota(cpus, f"cgroup v{group.version} CPU quota of {group.name}"))
    return quotas


def unwritable(root: Path = Path("/")) -> str | None:
    """Why no group with a memory limit can be made under this process's own; None where one can be."""
    own = next((group for group in chain("memory", root) if _controls_memory(group)), None)
    if own is None:
        return "no cgroup with the memory controller is mounted"
    if not os.access(own.folder, os.W_OK):
        return f"{own.folder} is not writable"
    return None


def chain(controller: str, root: Path = Path("/")) -> list[Cgroup]:
    """This process's groups that ``controller`` may act in, nearest first, hierarchy after hierarchy."""
    paths = _own_paths(root)
    groups = []
    seen = set()
    for version, controllers, mount_root, mount_point in _mounts(root):
        key = "" if version == 2 else controller
        if (version == 2 or controller in controllers) and key in paths and key not in seen:
            seen.add(key)
            groups += list(_upwards(version, paths[key], mount_root, root / mount_point.lstrip("/")))
    return groups


def _upwards(version: int, path: str, mount_root: str, mount_point: Path) -> Iterator[Cgroup]:
    try:
        relative = PurePosixPath(path).relative_to(mount_root)
    except ValueError:
        relative = PurePosixPath()
    if ".." in relative.parts:
        relative = PurePosixPath()
    for part in (relative, *relative.parents):
        folder = mount_point / part
        if folder.is_dir():
            yield Cgroup(version, folder, f"/{part}" if part.parts else "/")


def _own_paths(root: Path) -> dict[str, str]:
    """The path of this process in each hierarchy, by controller; that of v2 under the empty name."""
    paths = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _mounts(root: Path) -> Iterator[tuple[int, frozenset[str], str, str]]:
    """Version, controllers, root inside the hierarchy and mount point of every cgroup mount."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if len(place) > 4 and len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):
            version = 2 if kind[0] == "cgroup2" else 1
            yield version, frozenset(kind[2].split(",")), place[3], place[4]


def _controls_memory(group: Cgroup) -> bool:
    return group.version == 1 or "memory" in _read(group.folder / "cgroup.controllers").split()


def _memory_limit(group: Cgroup) -> int | None:
    if group.version == 2:
        # Above memory.high a group is not killed but throttled to a standstill: the same to a simulation.
        limits = [_number(_read(group.folder / name)) for name in ("memory.max", "memory.high")]
    else:
        limits = [_number(_read(group.folder / "memory.limit_in_bytes"))]
        if group.name == "/":
            # The mount point: its hierarchical limit also knows the groups above a container.
            limits.append(_stat(group, "hierarchical_memory_limit"))
    return min((limit for limit in limits if limit is not None), default=None)


def _memory_used(group: Cgroup) -> int:
    """Bytes in use that cannot be had back: file pages not used of late do not count."""
    current, cache = (
        ("memory.current", "inactive_file")
        if group.version == 2
        else ("memory.usage_in_bytes", "total_inactive_file")
    )
    return (_number(_read(group.folder / current)) or 0) - (_stat(group, cache) or 0)


def _stat(group: Cgroup, name: str) -> int | None:
    for line in _read(group.folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return None


def _cpu_quota(group: Cgroup) -> float | None:
    if group.version == 2:
        quota, _, period = _read(group.folder / "cpu.max").partition(" ")
    else:
        quota = _read(group.folder / "cpu.cfs_quota_us")
        period = _read(group.folder / "cpu.cfs_period_us")
    allowed, every = _number(quota), _number(period)
    return allowed / every if allowed and every and allowed > 0 else None


def _number(text: str) -> int | None:
    """None for ``max``, nothing, or anything else that is not a number."""
    try:
        return int(text)
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
