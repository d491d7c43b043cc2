"""Limits of control groups, read from small made-up trees laid out as kernels lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.probe.cgroups import cpu_quotas, memory_limits, unwritable

GIB = 1 << 30
UNLIMITED_V1 = "9223372036854771712"
V2_MOUNT = "30 20 0:26 {root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "35 31 0:32 {root} /sys/fs/cgroup/{name} rw,relatime shared:5 - cgroup cgroup rw,{name}"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(root: Path, own: str, files: dict[str, str], mount_root: str = "/") -> Path:
    base = {"proc/self/cgroup": f"0::{own}\n", "proc/self/mountinfo": V2_MOUNT.format(root=mount_root)}
    return write(root, base | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def limits(root: Path) -> list[tuple[int, int]]:
    return [(limit.limit, limit.available) for limit in memory_limits(root)]


def test_v2_limit_and_what_is_left_of_it(tmp_path: Path) -> None:
    v2(
        tmp_path,
        "/user.slice/app",
        {
            "user.slice/app/memory.max": f"{4 * GIB}\n",
            "user.slice/app/memory.high": "max\n",
            "user.slice/app/memory.current": f"{2 * GIB}\n",
            "user.slice/app/memory.stat": f"anon 5\ninactive_file {GIB}\n",
        },
    )
    assert limits(tmp_path) == [(4 * GIB, 3 * GIB)]


def test_v2_limits_of_the_groups_above_count_and_are_named(tmp_path: Path) -> None:
    v2(
        tmp_path,
        "/a/b/c",
        {
            "a/b/c/memory.max": "max\n",
            "a/b/memory.max": f"{8 * GIB}\n",
            "a/memory.max": f"{2 * GIB}\n",
            "a/b/cpu.max": "150000 100000\n",
            "a/cpu.max": "max 100000\n",
        },
    )
    tightest = min(memory_limits(tmp_path), key=lambda limit: limit.limit)
    assert (tightest.limit, tightest.source) == (2 * GIB, "cgroup v2 memory limit of /a")
    assert [(quota.cpus, quota.source) for quota in cpu_quotas(tmp_path)] == [
        (1.5, "cgroup v2 CPU quota of /a/b")
    ]


def test_v2_memory_high_is_a_limit_too(tmp_path: Path) -> None:
    v2(tmp_path, "/s", {"s/memory.max": f"{4 * GIB}", "s/memory.high": f"{3 * GIB}"})
    assert limits(tmp_path) == [(3 * GIB, 3 * GIB)]


def test_v1_unlimited_is_above_any_memory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n1:cpu,cpuacct:/\n",
            "proc/self/mountinfo": V1_MOUNT.format(root="/", name="memory"),
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": UNLIMITED_V1,
        },
    )
    assert limits(tmp_path)[0][0] > 2**60


def test_v1_nested_groups_and_combined_controllers(tmp_path: Path) -> None:
    mounts = (V1_MOUNT.format(root="/", name="memory"), V1_MOUNT.format(root="/", name="cpu,cpuacct"))
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job/step\n1:cpu,cpuacct:/job\n",
            "proc/self/mountinfo": "\n".join(mounts),
            "sys/fs/cgroup/memory/job/step/memory.limit_in_bytes": f"{8 * GIB}",
            "sys/fs/cgroup/memory/job/step/memory.usage_in_bytes": f"{GIB}",
            "sys/fs/cgroup/memory/job/step/memory.stat": f"total_inactive_file {GIB // 2}\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GIB}",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert limits(tmp_path) == [(8 * GIB, 8 * GIB - GIB // 2), (2 * GIB, 2 * GIB)]
    assert [quota.cpus for quota in cpu_quotas(tmp_path)] == [0.5]


def test_v1_limit_above_a_containers_mount_point(tmp_path: Path) -> None:
    """A pod's limit is on a group that the container cannot see, but the kernel tells of it."""
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/pod/box\n",
            "proc/self/mountinfo": V1_MOUNT.format(root="/pod/box", name="memory"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/memory.stat": f"cache 3\nhierarchical_memory_limit {GIB}\n",
        },
    )
    assert limits(tmp_path) == [(GIB, GIB)]


@pytest.mark.parametrize(
    ("own", "mount_root"),
    [
        pytest.param("/docker/0123", "/docker/0123", id="mounted from its own group"),
        pytest.param("/docker/0123", "/", id="the host's path, which is not under the mount"),
        pytest.param("/", "/", id="own cgroup namespace"),
        pytest.param("/../../other", "/", id="outside of its cgroup namespace"),
        pytest.param("/elsewhere", "/docker/0123", id="mounted from another group"),
    ],
)
def test_in_a_container_the_mount_point_counts(tmp_path: Path, own: str, mount_root: str) -> None:
    v2(tmp_path, own, {"memory.max": f"{GIB}\n", "cpu.max": "25000 100000\n"}, mount_root)
    assert limits(tmp_path) == [(GIB, GIB)]
    assert [quota.cpus for quota in cpu_quotas(tmp_path)] == [0.25]


def test_hybrid_reads_memory_from_v1_and_cpu_from_v2(tmp_path: Path) -> None:
    unified = V2_MOUNT.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/m\n0::/u\n",
            "proc/self/mountinfo": f"{V1_MOUNT.format(root='/', name='memory')}\n{unified}",
            "sys/fs/cgroup/memory/m/memory.limit_in_bytes": f"{3 * GIB}",
            "sys/fs/cgroup/unified/u/cpu.max": "300000 100000",
        },
    )
    assert limits(tmp_path) == [(3 * GIB, 3 * GIB)]
    assert [quota.cpus for quota in cpu_quotas(tmp_path)] == [3.0]


def test_used_up_memory_is_never_less_than_nothing(tmp_path: Path) -> None:
    v2(tmp_path, "/s", {"s/memory.max": f"{GIB}", "s/memory.current": f"{2 * GIB}"})
    assert limits(tmp_path) == [(GIB, 0)]


@pytest.mark.parametrize("text", ["", "nonsense", "0::", ":::\n::", "0::/x\n\n"])
def test_unreadable_files_are_no_limits(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"proc/self/cgroup": text, "proc/self/mountinfo": text})
    assert memory_limits(tmp_path) == []
    assert cpu_quotas(tmp_path) == []


def test_no_proc_at_all(tmp_path: Path) -> None:
    assert memory_limits(tmp_path) == []
    assert unwritable(tmp_path) == "no cgroup with the memory controller is mounted"


def test_where_a_memory_limit_can_be_set(tmp_path: Path) -> None:
    v2(tmp_path, "/s", {"s/cgroup.controllers": "cpu io\n", "cgroup.controllers": "cpu io\n"})
    assert unwritable(tmp_path) == "no cgroup with the memory controller is mounted"
    v2(tmp_path, "/s", {"s/cgroup.controllers": "cpu memory\n"})
    assert unwritable(tmp_path) is None
