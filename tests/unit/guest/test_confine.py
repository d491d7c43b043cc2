"""What a process takes from itself, seen in a child process that does it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS has none of these")


def _in_a_child(code: str, *arguments: str) -> str:
    head = "import sys\nfrom qvirt.guest import confine\n"
    command = [sys.executable, "-c", head + code, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_more_than_the_limit_cannot_be_had_and_less_can() -> None:
    code = """
confine.limit_memory(64 << 20)
print(len(bytearray(48 << 20)) >> 20)
try:
    bytearray((128 << 20) + confine.SLACK)
except MemoryError:
    print("refused")
confine.limit_memory(512 << 20)
print(len(bytearray(256 << 20)) >> 20)
"""
    assert _in_a_child(code).split() == ["48", "refused", "256"]


def test_the_peak_is_that_since_it_was_reset() -> None:
    code = """
first = bytearray(96 << 20)
del first
confine.reset_peak()
base = confine.memory_used()
second = bytearray(32 << 20)
del second
print((confine.peak_memory() - base) >> 20)
"""
    assert 30 <= int(_in_a_child(code)) <= 40


def test_a_worker_leaves_no_core_and_gains_nothing() -> None:
    code = """
import resource
confine.confine_worker(int(sys.argv[1]))
print(resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_STACK)[0])
print(open("/proc/self/status").read())
"""
    told = _in_a_child(code, str(os.getpid()))
    core, stack = told.split()[:2]
    assert int(core) == 0
    assert 0 < int(stack) <= 64 << 20
    assert "NoNewPrivs:\t1" in told


def test_a_worker_whose_guest_is_gone_ends_at_once() -> None:
    command = [sys.executable, "-c", "from qvirt.guest import confine; confine.confine_worker(1)"]
    assert subprocess.run(command, check=False).returncode == 1
