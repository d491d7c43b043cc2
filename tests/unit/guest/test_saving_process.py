"""A worker's checkpoint on its way out, with a worker that a test plays on a real socket."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from qvirt.errors import Conflict
from qvirt.guest import messages, process, spawn
from qvirt.guest.messages import HEADER, Kept, Piece, Progressed, Reply, Save, Unsaved
from qvirt.guest.process import WorkerProcess


def _with_worker(test: Callable[[WorkerProcess, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        spawn._live.add(popen.pid)
        worker = WorkerProcess(spawn.Spawned(popen, ours), lambda worker, word: None)
        try:
            await asyncio.wait_for(test(worker, theirs), 30)
        finally:
            worker.kill()
            theirs.close()
            await worker._listening

    asyncio.run(run())


async def _say(end: socket.socket, *replies: Reply) -> None:
    for reply in replies:
        await asyncio.to_thread(end.sendall, messages.frame(reply))


async def _asked(end: socket.socket) -> object:
    header = await asyncio.to_thread(end.recv, HEADER.size, socket.MSG_WAITALL)
    body = await asyncio.to_thread(end.recv, messages.length(header), socket.MSG_WAITALL)
    return messages.request(body)


async def _all(worker: WorkerProcess) -> list[bytes]:
    return [bytes(octets) async for octets in worker.save()]


def test_pieces_come_as_they_are_sent_and_savers_one_after_another() -> None:
    async def test(worker: WorkerProcess, end: socket.socket) -> None:
        savers = [asyncio.ensure_future(_all(worker)) for _ in range(2)]
        for name in (b"first", b"second"):
            assert isinstance(await _asked(end), Save)
            await _say(end, Piece(memoryview(name)), Progressed(0.5), Piece(memoryview(b".")), Kept())
        assert [await saver for saver in savers] == [[b"first", b"."], [b"second", b"."]]

    _with_worker(test)


def test_what_is_broken_off_comes_to_its_end_unheard() -> None:
    async def test(worker: WorkerProcess, end: socket.socket) -> None:
        saving = worker.save()
        await asyncio.gather(
            _say(end, *(Piece(memoryview(bytes([n]))) for n in range(20))), saving.__anext__()
        )
        await saving.aclose()
        await _say(end, Kept())
        assert isinstance(await _asked(end), Save)
        again = asyncio.ensure_future(_all(worker))
        assert isinstance(await _asked(end), Save)
        await _say(end, Unsaved(Conflict("not now").info()))
        with pytest.raises(Conflict, match="not now"):
            await again

    _with_worker(test)


def test_who_takes_nothing_does_not_hold_up_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.05)

    async def test(worker: WorkerProcess, end: socket.socket) -> None:
        saving = worker.save()
        await asyncio.gather(_say(end, Piece(memoryview(b"first"))), saving.__anext__())
        await _say(end, *(Piece(memoryview(b"x")) for _ in range(20)), Kept(), Progressed(1.0))
        assert isinstance(await worker.reply(), Progressed), "the run is heard of although nobody reads"
        with pytest.raises(Conflict, match="not taken in time"):
            await saving.__anext__()

    _with_worker(test)


def test_a_worker_that_dies_ends_what_it_was_saving() -> None:
    async def test(worker: WorkerProcess, end: socket.socket) -> None:
        saver = asyncio.ensure_future(_all(worker))
        assert isinstance(await _asked(end), Save)
        end.close()
        with pytest.raises(Conflict, match="has ended"):
            await saver
        with pytest.raises(Conflict, match="has ended"):
            await _all(worker)

    _with_worker(test)
