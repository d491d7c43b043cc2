"""Memory bandwidth: a really measured figure, kept until the next boot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.model.hardware import Usable
from qvirt.probe import bandwidth as module
from qvirt.probe.bandwidth import bandwidth, update_rate

USABLE = Usable(2.0, "test", 1 << 30, "test", 1 << 30)


def machine(root: Path, boot: str = "one") -> Path:
    boot_id = root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True, exist_ok=True)
    boot_id.write_text(f"{boot}\n")
    return root


def test_a_real_measurement_is_of_a_believable_size() -> None:
    assert 1e8 < update_rate(1, 8 << 20, seconds=0.02) < 1e13


def test_bytes_are_counted_read_and_written_by_all_threads() -> None:
    ticks = iter([0.0, 0.0, 2.0, 9.0])  # the end, one round of 2 s, over
    assert update_rate(2, 8 << 20, seconds=1.0, clock=lambda: next(ticks)) == 2 * (8 << 20) / 2.0


def test_kept_until_the_next_boot_and_for_as_many_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(module, "update_rate", lambda threads, total: next(figures))
    cache = tmp_path / "state" / "bandwidth.json"
    root = machine(tmp_path / "root")
    assert bandwidth(USABLE, cache, root) == (1.0, None)
    assert bandwidth(USABLE, cache, root) == (1.0, None)
    assert bandwidth(replace(USABLE, cpus=1.0), cache, root) == (2.0, None)
    machine(root, boot="two")
    assert bandwidth(USABLE, cache, root) == (3.0, None)
    assert sorted(path.name for path in cache.parent.iterdir()) == ["bandwidth.json"]


@pytest.mark.parametrize("text", ["", "[]", "null", '{"boot": "one", "cpus": 2, "bytes_per_second": "x"}'])
def test_a_spoilt_cache_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(module, "update_rate", lambda threads, total: 5.0)
    cache = tmp_path / "bandwidth.json"
    cache.write_text(text)
    assert bandwidth(USABLE, cache, machine(tmp_path)) == (5.0, None)
    assert json.loads(cache.read_text())["bytes_per_second"] == 5.0


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "update_rate", lambda threads, total: 5.0)
    (tmp_path / "file").touch()
    assert bandwidth(USABLE, tmp_path / "file" / "bandwidth.json", machine(tmp_path)) == (5.0, None)


def test_no_memory_to_measure_with(tmp_path: Path) -> None:
    rate, reason = bandwidth(replace(USABLE, memory_available=0), None, machine(tmp_path))
    assert rate is None
    assert str(reason).startswith("cannot be measured")
