"""Large files on their way into the VM and out of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse

from qvirt.errors import StateError

AT_ONCE = 1 << 20


def streamed(path: Path) -> Response:
    """The file as it is now, also where another takes its name before all of it is sent."""
    file = path.open("rb")
    size = os.fstat(file.fileno()).st_size
    return StreamingResponse(
        _read(file), media_type="application/octet-stream", headers={"Content-Length": str(size)}
    )


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while found := file.read(AT_ONCE):
            yield found


async def receive(octets: AsyncIterator[bytes], path: Path) -> None:
    """All of ``octets`` under that name, or nothing."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            async for some in octets:
                file.write(some)
        # The worker may run as another user than the guest; nobody else comes into the folder.
        part.chmod(0o644)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StateError(f"the VM cannot keep the checkpoint: {error.strerror}") from error
        raise
