from __future__ import annotations

import os
import sys

import pytest

from qvirt.guest import memory
from qvirt.guest.memory import LIBRARY_PAGES, WORKER_BASE, left


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is private")
def test_private_memory_grows_with_what_is_written() -> None:
    before = memory.private(os.getpid())
    block = bytearray(os.urandom(1 << 10) * (32 << 10))
    assert memory.private(os.getpid()) - before > 24 << 20
    assert len(block) == 32 << 20


def test_a_process_that_is_gone_takes_nothing() -> None:
    assert memory.private(2**22 + 1) == 0


def test_workers_that_are_not_there_yet_are_counted() -> None:
    total = 4 << 30
    own = memory.private(os.getpid())
    assert left(total, [], expected=2) == pytest.approx(
        total - own - 2 * WORKER_BASE - LIBRARY_PAGES, abs=4 << 20
    )
    assert left(total, [2**22 + 1] * 3, expected=2) < left(total, [], expected=2)


def test_nothing_is_left_of_too_little() -> None:
    assert left(64 << 20, [], expected=2) == 0


def test_a_machine_has_no_more_than_its_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a QEMU guest has taken its share of what the VM was given."""
    monkeypatch.setattr(memory, "machine", lambda: 2 << 30)
    assert left(4 << 30, [], expected=2) == pytest.approx(left(2 << 30, [], expected=2), abs=1 << 20)
    monkeypatch.setattr(memory, "machine", lambda: None)
    assert left(4 << 30, [], expected=2) > 3 << 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it there")
def test_the_kernel_says_what_the_machine_has() -> None:
    import psutil

    assert memory.machine() == psutil.virtual_memory().total


def test_without_a_cgroup_the_kernel_s_own_count_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU guest has none: its kernel ends what takes too much, and only that counter says so."""
    monkeypatch.setattr("qvirt.probe.cgroups.chain", lambda controller: iter(()))
    memory._oom_file.cache_clear()
    try:
        assert "oom_kill " in memory._oom_file().read_text()
        assert memory.oom_kills() >= 0
    finally:
        memory._oom_file.cache_clear()
