"""One worker process as the guest sees it: asked, listened to, paused, killed, buried."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from qvirt.errors import Conflict, EngineFailed, OutOfMemory, from_info
from qvirt.guest import messages, spawn
from qvirt.guest.memory import oom_kills
from qvirt.guest.messages import (
    Failed,
    Fetch,
    Kept,
    Piece,
    Progressed,
    Ready,
    Reply,
    Request,
    Save,
    Unsaved,
    Warm,
)
from qvirt.model.result import Position
from qvirt.units import show_bytes

TAIL = 4096
"""Octets of what a worker printed last that are kept to explain its death."""

LAST_LINE = 300

PIECES = 4
"""Of a checkpoint that are in memory on their way; its worker waits where nobody takes them."""

PATIENCE = 30.0
"""Seconds that it waits for one of them to be taken."""

EXIT_SECONDS = 0.3
"""A worker that hangs up has this long to end by itself, so that the reason is its own."""

OUT_OF_MEMORY = (b"bad_alloc", b"memory allocation of", b"MemoryError", b"Cannot allocate memory")


class WorkerProcess:
    """``heard`` is told of the worker's Ready and Warm, and with None of its end."""

    def __init__(
        self, spawned: spawn.Spawned, heard: Callable[[WorkerProcess, Ready | Warm | None], None]
    ) -> None:
        self._spawned = spawned
        self._heard = heard
        self._tail = b""
        self._oom_kills = 0
        self._death: EngineFailed | None = None
        self._writer: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self._ready = asyncio.Event()
        self._replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        self._saved: asyncio.Queue[Piece | Kept | Unsaved | None] = asyncio.Queue(PIECES)
        self._saving: asyncio.Future[None] | None = None
        self._stalled = False
        self.was_ready = False
        self.is_warm = False
        self.is_spent = False
        """To be replaced although it lives."""
        self._copying = asyncio.ensure_future(self._copy())
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def pid(self) -> int:
        return self._spawned.popen.pid

    @property
    def alive(self) -> bool:
        return spawn.is_live(self.pid)

    async def ask(self, request: Request) -> None:
        """Send a request and wait until the worker begins with it."""
        self._oom_kills = oom_kills()
        self._tail = b""
        await self._send(request)
        await self._ready.wait()

    async def reply(self) -> Reply:
        """The next reply. Raises what the worker died of where it did."""
        found = await self._replies.get()
        if found is None:
            raise self._death or EngineFailed("the worker process has ended")
        if isinstance(found, Failed) and found.error.code == OutOfMemory.code:
            self.is_spent = True
        return found

    async def final(
        self,
        progressed: Callable[[float | None, Position | None], None],
        fetched: Callable[[], Awaitable[bytes | bytearray]] | None = None,
    ) -> Reply:
        """The next reply that is more than a sign of progress; ``fetched`` gives the checkpoint to go on
        from piece by piece."""
        while isinstance(reply := await self.reply(), (Progressed, Fetch)):
            if isinstance(reply, Progressed):
                progressed(reply.fraction, reply.position)
            elif fetched is not None:
                await self._send(Piece(memoryview(await fetched())))
        return reply

    async def save(self) -> AsyncGenerator[memoryview, None]:
        """Where its circuit stands, as soon as its engine stops for a moment; who asks meanwhile waits.

        Raises what keeps it from being saved, which it does before the first octet or breaks off.
        """
        while self._saving is not None and not self._saving.done():
            await asyncio.wait({self._saving})
        self._saving = asyncio.get_running_loop().create_future()
        try:
            await self._send(Save())
            while isinstance(answer := await self._next_saved(), Piece):
                yield answer.octets
        except BaseException:
            # The rest of it comes, whether or not somebody still waits for it.
            self._discarding = asyncio.ensure_future(self._discard(self._saving))
            raise
        self._saving.set_result(None)
        if answer is None:
            raise Conflict("the run has ended")
        if isinstance(answer, Unsaved):
            raise from_info(answer.error)

    async def _discard(self, saving: asyncio.Future[None]) -> None:
        while isinstance(await self._next_saved(), Piece):
            pass
        saving.set_result(None)

    async def _next_saved(self) -> Piece | Kept | Unsaved | None:
        answer = await self._saved.get()
        if answer is None:  # nor is there one for whoever asks later
            self._saved.put_nowait(None)
        return answer

    async def _send(self, request: Request) -> None:
        writer = await asyncio.shield(self._writer)
        with contextlib.suppress(ConnectionError):  # it has died: ``reply`` says of what
            writer.write(messages.frame(request))
            await writer.drain()

    def pause(self) -> None:
        spawn.send_signal(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        spawn.send_signal(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.is_spent = True
        spawn.send_signal(self.pid, signal.SIGKILL)

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=self._spawned.socket)
        self._writer.set_result(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(messages.HEADER.size)
                body = await reader.readexactly(messages.length(header))
                try:
                    await self._take(messages.reply(body))
                except msgspec.MsgspecError as error:
                    self._tail += f"\nwhat it said is no reply: {error}".encode()
                    break
        await self._bury()
        writer.close()
        self._ready.set()
        self._replies.put_nowait(None)
        self._heard(self, None)
        await self._saved.put(None)

    async def _take(self, reply: Reply) -> None:
        if isinstance(reply, Ready):
            self.was_ready = True
            self._ready.set()
            self._heard(self, reply)
        elif isinstance(reply, Warm):
            self.is_warm = True
            self._heard(self, reply)
        elif isinstance(reply, (Piece, Kept, Unsaved)):
            await self._hand_on(reply)
        else:
            self._replies.put_nowait(reply)

    async def _hand_on(self, reply: Piece | Kept | Unsaved) -> None:
        """To whoever saves; who takes nothing for too long gets no more, so that the run goes on."""
        if not self._stalled:
            try:
                await asyncio.wait_for(self._saved.put(reply), PATIENCE)
            except asyncio.TimeoutError:
                self._stalled = True
        if self._stalled and not isinstance(reply, Piece):
            self._stalled = False
            while not self._saved.empty():
                self._saved.get_nowait()
            self._saved.put_nowait(Unsaved(Conflict("the checkpoint was not taken in time").info()))

    async def _bury(self) -> None:
        """Waited for here and nowhere else, on the loop's thread, so that no signal meets a reused number."""
        deadline = time.monotonic() + EXIT_SECONDS
        while not (found := os.wait4(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                self.kill()
            await asyncio.sleep(0.002)
        spawn.buried(self.pid)
        code = os.waitstatus_to_exitcode(found[1])
        self._spawned.popen.returncode = code
        await asyncio.wait({self._copying}, timeout=0.5)  # its last words may still be on their way
        self._death = self._explain(code, found[2])

    def _explain(self, code: int, usage: resource.struct_rusage) -> EngineFailed:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        peak = show_bytes(usage.ru_maxrss << (0 if sys.platform == "darwin" else 10))
        text = f"the process that ran the circuit was ended {how}; it had used {peak} at most"
        killed_by_kernel = code == -signal.SIGKILL and oom_kills() > self._oom_kills
        if killed_by_kernel or any(sign in self._tail for sign in OUT_OF_MEMORY):
            return OutOfMemory(f"{text}: memory ran out", hint="give the VM more memory, or use fewer qubits")
        said = self._tail.decode("utf-8", "replace").split("\n")
        # An error of Python ends with its reason; native code says it before the trace that follows.
        line = next(filter(None, said if code < 0 else reversed(said)), "")[:LAST_LINE]
        return EngineFailed(text, hint=f"it said: {line}" if line else None)

    async def _copy(self) -> None:
        output = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), self._spawned.popen.stdout
        )
        while chunk := await output.read(TAIL):
            self._tail = (self._tail + chunk)[-TAIL:]
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
