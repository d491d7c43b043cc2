"""Checkpoints on their way to the orders that go on from them: at most a few pieces of one are here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from qvirt.errors import CheckpointRefused, Conflict
from qvirt.model.checkpoint import LONGEST_HEAD, CheckpointHead, read_head
from qvirt.units import show_seconds

PATIENCE = 60.0
"""Seconds that an order whose turn it is waits for its checkpoint."""

PIECE = 128 << 10
"""Octets that are worth a message of their own."""

AHEAD = 16
"""Pieces that come in while the worker is at work on those before."""


class Incoming:
    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | bytearray] = asyncio.Queue(AHEAD)
        self._begun = False
        self._ended = False
        self._dropped = False
        self._before = b""

    async def give(self, octets: AsyncIterator[bytes]) -> None:
        """Returns when all was taken, or nobody wants any more. Raises Conflict for a second one."""
        if self._begun:
            raise Conflict("the order has been given its checkpoint already")
        self._begun = True
        piece = bytearray()
        try:
            async for some in octets:
                piece += some
                if len(piece) >= PIECE:
                    await self._put(piece)
                    piece = bytearray()
            if piece:
                await self._put(piece)
        finally:
            await self._put(b"")

    async def head(self) -> CheckpointHead:
        """Of what will be taken. Raises CheckpointRefused where it is none, or nobody gives one."""
        while b"\n" not in self._before and len(self._before) < LONGEST_HEAD:
            try:
                some = await asyncio.wait_for(self._next(), PATIENCE)
            except asyncio.TimeoutError:
                raise CheckpointRefused(
                    f"nobody gave the VM the checkpoint within {show_seconds(PATIENCE)}",
                    hint="PUT it to /v1/checkpoints/NAME once the order is there",
                ) from None
            if not some:
                break
            self._before += some
        return read_head(self._before[: self._before.find(b"\n") + 1] or self._before)

    async def take(self) -> bytes | bytearray:
        """The next piece; none after the last."""
        before, self._before = self._before, b""
        return before or await self._next()

    async def _next(self) -> bytes | bytearray:
        if self._ended:
            return b""
        piece = await self._pieces.get()
        self._ended = not piece
        return piece

    def drop(self) -> None:
        """Nobody takes any more of it."""
        self._dropped = True
        while not self._pieces.empty():
            self._pieces.get_nowait()

    async def _put(self, piece: bytes | bytearray) -> None:
        if not self._dropped:
            await self._pieces.put(piece)
