"""Large files on their way into the VM and out of it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse

from qvirt.errors import DoesNotFit, StateError
from qvirt.units import show_bytes

AT_ONCE = 1 << 20
OCTETS = "application/octet-stream"


def streamed(path: Path) -> Response:
    """The file as it is now, also where another takes its name before all of it is sent."""
    file = path.open("rb")
    size = os.fstat(file.fileno()).st_size
    return StreamingResponse(_read(file), media_type=OCTETS, headers={"Content-Length": str(size)})


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while found := file.read(AT_ONCE):
            yield found


async def as_it_comes(octets: AsyncGenerator[memoryview, None]) -> Response:
    """Raises what keeps the first of ``octets`` from coming; what happens later breaks the answer off."""
    first = await octets.__anext__()

    async def all_of_it() -> AsyncIterator[memoryview]:
        try:
            yield first
            async for some in octets:
                yield some
        finally:
            await octets.aclose()

    return StreamingResponse(all_of_it(), media_type=OCTETS)


async def receive(octets: AsyncIterator[bytes], path: Path, most: int) -> None:
    """All of ``octets`` under that name, or nothing. Raises DoesNotFit for more than ``most``."""
    size = 0
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            async for some in octets:
                size += len(some)
                if size > most:
                    raise DoesNotFit(
                        f"the state is larger than the {show_bytes(most)} that the VM has left for it",
                        hint="remove states that it keeps (`qvirt state rm`), or give it more memory",
                    )
                file.write(some)
        # The worker may run as another user than the guest; nobody else comes into the folder.
        part.chmod(0o644)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StateError(f"the VM cannot keep the state: {error.strerror}") from error
        raise
