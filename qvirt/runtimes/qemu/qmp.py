"""QEMU's monitor protocol (QMP) by the library qemu.qmp, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from qvirt.errors import Unavailable, VMFailed

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

T = TypeVar("T")

SECONDS = 10.0
"""For one command. QEMU answers in milliseconds, on a machine that is overloaded in tenths."""

PAUSE = 0.002


class Monitor:
    """A connection to the monitor of a QEMU that runs: one command at a time.

    It has an event loop and a thread of its own, so that it can be used where another loop runs already.
    """

    def __init__(self, path: Path) -> None:
        """Raises VMFailed where QEMU does not answer there."""
        try:
            from qemu.qmp import QMPError
        except ImportError:
            hint = "pip install 'qvirt[qemu]'"
            raise Unavailable("the Python library qemu.qmp is missing", hint=hint) from None
        self._errors: tuple[type[BaseException], ...] = (QMPError, OSError, EOFError, TooLate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qvirt-qmp", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(_connected(path))
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(VMFailed):
            self._wait(self._client.disconnect())
        self._end()

    def execute(self, command: str, **arguments: Any) -> Any:
        """What QEMU returns. The dashes of argument names are written as underscores."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._wait(self._client.execute(command, named))

    def give(self, descriptor: int, name: str) -> None:
        """Hand an open file over: a QEMU in its sandbox may open few by itself."""

        async def send() -> None:
            self._client.send_fd_scm(descriptor)
            await self._client.execute("getfd", {"fdname": name})

        self._wait(send())

    @property
    def status(self) -> str:
        """QEMU's word: ``running``, ``paused``, ``inmigrate``, ``internal-error`` ..."""
        return str(self.execute("query-status")["status"])

    def _wait(self, doing: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return future.result(SECONDS)
        except self._errors as error:
            future.cancel()
            raise VMFailed(f"QEMU's monitor: {error or 'no answer'}") from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _connected(path: Path) -> QMPClient:
    from qemu.qmp import QMPClient

    client = QMPClient("qvirt")
    client.logger.disabled = True  # it reports a peer that goes away, which is what a peer does
    await client.connect(str(path))
    return client


def connect(path: Path, alive: Callable[[], bool], seconds: float = 3 * SECONDS) -> Monitor | None:
    """As soon as QEMU listens at ``path``; None where it has ended before."""
    deadline = time.monotonic() + seconds
    while alive():
        if path.exists():
            try:
                return Monitor(path)
            except VMFailed:
                if time.monotonic() > deadline:
                    raise
        elif time.monotonic() > deadline:
            raise VMFailed(f"QEMU did not listen at {path} within {seconds:.0f} s")
        time.sleep(PAUSE)
    return None
