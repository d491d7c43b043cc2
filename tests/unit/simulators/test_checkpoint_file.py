from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qvirt.errors import CheckpointRefused, EngineFailed, Unavailable
from qvirt.model.checkpoint import CheckpointHead, deciding
from qvirt.model.estimate import Candidate
from qvirt.model.result import Position
from qvirt.model.run import Method, Noise, Precision, RunOptions
from qvirt.simulators import checkpoint_file
from qvirt.simulators.checkpoint import CHUNK, Checkpoint, fill, pieces

QSIM = Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE)
HEAD = CheckpointHead(QSIM, "0.22", "abc", RunOptions(seed=7), 1.5, 0.25, Position(1, 4))
NOISE = np.random.default_rng(1).bytes(600)
CONTENT = Checkpoint({"done": 3, "large": 2**100}, (NOISE, bytes(500), b"the last"))


def write(path: Path, head: CheckpointHead, checkpoint: Checkpoint) -> int:
    with path.open("wb") as file:
        checkpoint_file.write(file.write, head, checkpoint)
    return path.stat().st_size


@contextmanager
def opened(path: Path) -> Iterator[tuple[CheckpointHead, Checkpoint]]:
    with path.open("rb") as file, checkpoint_file.opened(file) as found:
        yield found


def read(path: Path) -> tuple[CheckpointHead, dict[str, object], list[bytes]]:
    with opened(path) as (head, checkpoint):
        return head, dict(checkpoint.header), [bytes(chunk) for chunk in checkpoint.chunks]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.qvc"
    assert write(path, HEAD, CONTENT) == path.stat().st_size
    return path


def test_what_was_written_is_read(path: Path) -> None:
    assert read(path) == (HEAD, {"done": 3, "large": 2**100}, [NOISE, bytes(500), b"the last"])
    assert list(path.parent.iterdir()) == [path], "nothing else is left"


def test_zeros_take_no_room_and_noise_no_more_than_it_is(tmp_path: Path) -> None:
    for content, most in (
        (bytes(1 << 20), 1000),
        (np.random.default_rng(1).bytes(1 << 20), (1 << 20) + 1000),
    ):
        assert write(tmp_path / "b.qvc", HEAD, Checkpoint({}, (content,))) < most
        assert read(tmp_path / "b.qvc")[2] == [content]


def test_without_its_library_nothing_is_packed_and_what_was_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Unavailable, match="zstandard is not installed"):
        read(path)
    assert write(path, HEAD, CONTENT) > 600 + 500
    assert read(path)[2] == [NOISE, bytes(500), b"the last"]


def test_every_octet_counts(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(CheckpointRefused, match=r"damaged|no checkpoint|of format|cut off"):
            read(path)


def test_every_cut_is_seen(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointRefused, match=r"cut off|damaged|no checkpoint"):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointRefused, match="follows its end"):
        read(path)


def test_chunks_that_change_places_are_seen(path: Path) -> None:
    """Each of them is whole."""
    write(path, HEAD, Checkpoint({}, (NOISE, NOISE[::-1])))
    whole = path.read_bytes()
    first, second = whole.index(NOISE), whole.index(NOISE[::-1])
    size = second - first
    path.write_bytes(
        whole[: first - 13]
        + whole[second - 13 :][:size]
        + whole[first - 13 :][:size]
        + whole[second - 13 + size :]
    )
    assert len(path.read_bytes()) == len(whole)
    with pytest.raises(CheckpointRefused, match="checksum"):
        read(path)


def test_another_file_is_no_checkpoint(path: Path) -> None:
    path.write_bytes(b"OPENQASM 2.0;\n")
    with pytest.raises(CheckpointRefused, match="no checkpoint of qvirt"):
        read(path)


def test_what_the_engine_leaves_unread_is_an_error(path: Path) -> None:
    with (
        pytest.raises(CheckpointRefused, match="more than its engine takes"),
        opened(path) as (_, checkpoint),
    ):
        next(iter(checkpoint.chunks))


def test_a_state_is_never_there_twice(tmp_path: Path) -> None:
    state = np.random.default_rng(1).standard_normal(12 << 20, np.float32)
    tracemalloc.start()
    try:
        write(tmp_path / "a.qvc", HEAD, Checkpoint({}, pieces(state)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.reset_peak()
        later = np.empty_like(state)
        with opened(tmp_path / "a.qvc") as (_, checkpoint):
            fill(iter(checkpoint.chunks), later)
        assert tracemalloc.get_traced_memory()[1] < state.nbytes + 3 * CHUNK
    finally:
        tracemalloc.stop()
    assert np.array_equal(state, later)


def test_several_arrays_are_filled_one_after_another() -> None:
    first, second = np.arange(10.0).reshape(2, 5), np.arange(7, dtype=np.uint8)
    again = np.empty((2, 5)), np.empty(7, np.uint8)
    fill(iter(list(pieces(first, second))), *again)
    assert np.array_equal(again[0], first)
    assert np.array_equal(again[1], second)
    with pytest.raises(EngineFailed, match="size"):
        fill(iter(list(pieces(first))), *again)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (replace(HEAD, circuit="def"), "circuit is abc, not def"),
        (replace(HEAD, engine_version="0.23"), "version of the engine is 0.22, not 0.23"),
        (replace(HEAD, candidate=replace(QSIM, precision=Precision.DOUBLE)), "engine is qsim"),
        (replace(HEAD, options=RunOptions(seed=8)), "seed is 7, not 8"),
        (replace(HEAD, options=RunOptions(seed=7, shots=5)), "shots is 1024, not 5"),
        (replace(HEAD, options=RunOptions(seed=7, noise=Noise(0.1))), "noise is None"),
    ],
)
def test_what_differs_is_named(changed: CheckpointHead, named: str) -> None:
    found = HEAD.difference(changed)
    assert found is not None
    assert named in found


def test_what_does_not_decide_the_counts_may_differ() -> None:
    later = replace(
        HEAD, created=9.0, fraction=None, position=None, options=deciding(RunOptions(seed=7, time_limit=5.0))
    )
    assert HEAD.difference(later) is None
