"""Large files on their way into the VM and out of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse

from qvirt.errors import DoesNotFit, StateError
from qvirt.units import show_bytes

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


async def receive(
    octets: AsyncIterator[bytes], path: Path, what: str = "checkpoint", most: int | None = None
) -> None:
    """All of ``octets`` under that name, or nothing. Raises DoesNotFit for more than ``most``."""
    size = 0
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            async for some in octets:
                size += len(some)
                if most is not None and size > most:
                    raise DoesNotFit(
                        f"the {what} is larger than the {show_bytes(most)} that the VM has left for it",
                        hint="remove states that it keeps (`qvirt state rm`), or give it more memory",
                    )
                file.write(some)
        # The worker may run as another user than the guest; nobody else comes into the folder.
        part.chmod(0o644)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StateError(f"the VM cannot keep the {what}: {error.strerror}") from error
        raise
