"""What this process may use: made-up trees for groups, real limits in real child processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qvirt.probe.limits import usable

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

MEMINFO = "MemTotal:       8388608 kB\nMemFree:        1048576 kB\nMemAvailable:   4194304 kB\n"
GIB = 1 << 30


def tree(root: Path, files: dict[str, str]) -> Path:
    base = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/s\n",
        "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    }
    for name, text in (base | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def child(limit: Callable[[], None]) -> list[str]:
    code = (
        "from qvirt.probe import usable; u = usable();"
        "print(u.cpus, u.cpus_from, u.memory, u.memory_from, u.memory_available, sep='|')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip().split("|")


@linux
def test_without_limits_the_machine_is_the_limit(tmp_path: Path) -> None:
    found = usable(tree(tmp_path, {}))
    assert (found.memory, found.memory_from, found.memory_available) == (8 * GIB, "physical memory", 4 * GIB)


@linux
def test_a_group_limits_memory_and_cpus(tmp_path: Path) -> None:
    files = {"s/memory.max": f"{2 * GIB}", "s/memory.current": f"{GIB}", "s/cpu.max": "50000 100000"}
    found = usable(tree(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()}))
    assert (found.memory, found.memory_available, found.cpus) == (2 * GIB, GIB, 0.5)
    assert found.memory_from == "cgroup v2 memory limit of /s"
    assert found.cpus_from == "cgroup v2 CPU quota of /s"


@linux
def test_what_the_machine_has_left_bounds_a_generous_group(tmp_path: Path) -> None:
    found = usable(tree(tmp_path, {"sys/fs/cgroup/s/memory.max": f"{6 * GIB}"}))
    assert (found.memory, found.memory_available) == (6 * GIB, 4 * GIB)


@linux
def test_a_kernel_that_does_not_tell_what_is_available(tmp_path: Path) -> None:
    meminfo = "".join(line for line in MEMINFO.splitlines(keepends=True) if "Available" not in line)
    assert usable(tree(tmp_path, {"proc/meminfo": meminfo})).memory_available == GIB


@linux
def test_affinity_mask() -> None:
    one = min(os.sched_getaffinity(0))
    cpus = child(lambda: os.sched_setaffinity(0, {one}))[0]
    assert float(cpus) <= 1


@linux
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_rlimits(name: str) -> None:
    limit = 300 << 20
    found = child(lambda: resource.setrlimit(getattr(resource, name), (limit, -1)))
    assert (found[2], found[3]) == (str(limit), name)
    assert int(found[4]) <= limit


def test_this_machine() -> None:
    found = usable()
    assert 0 < found.cpus <= (os.cpu_count() or 1)
    assert 0 < found.memory_available <= found.memory
