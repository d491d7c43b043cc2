"""A checkpoint on its way to its order, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from qvirt.errors import CheckpointRefused, Conflict
from qvirt.guest import incoming as module
from qvirt.guest.incoming import Incoming
from qvirt.model.checkpoint import CheckpointHead, head_line
from qvirt.model.estimate import Candidate
from qvirt.model.run import Method, Precision, RunOptions

HEAD = CheckpointHead(
    Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE), "1", "0", RunOptions(seed=1), 1.0, 0.4
)
FILE = head_line(HEAD) + bytes(range(256)) * 20_000


async def octets(size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(FILE), size):
        yield FILE[start : start + size]


@pytest.mark.parametrize("size", [7000, 1 << 20, 3 << 20])
def test_all_of_it_is_taken_after_its_head_was_looked_at(size: int) -> None:
    async def use() -> None:
        incoming = Incoming()
        giving = asyncio.ensure_future(incoming.give(octets(size)))
        assert await incoming.head() == HEAD
        pieces = [piece] if (piece := await incoming.take()) else []
        while piece := await incoming.take():
            pieces.append(piece)
        await giving
        assert b"".join(pieces) == FILE
        assert await incoming.take() == b""
        with pytest.raises(Conflict, match="already"):
            await incoming.give(octets(size))

    asyncio.run(asyncio.wait_for(use(), 30))


def test_few_pieces_are_taken_in_before_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD", 1)
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for some in octets(1 << 20):
            taken += 1
            yield some

    async def use() -> None:
        incoming = Incoming()
        giving = asyncio.ensure_future(incoming.give(counted()))
        await asyncio.sleep(0.01)
        assert taken <= 2
        incoming.drop()
        await giving

    asyncio.run(asyncio.wait_for(use(), 30))


def test_one_that_never_comes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def use() -> None:
        with pytest.raises(CheckpointRefused, match="nobody gave"):
            await Incoming().head()

    asyncio.run(use())
