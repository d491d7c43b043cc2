"""The standard input of guests that are to end with this process.

The engine closes it when our connection ends, however that comes about; the guest ends then.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

_lines: dict[str, Any] = {}
"""By container: the connections of this very process."""


def attach(api: Any, container: str) -> None:
    """To be called before the container is started."""
    cut(container)
    line = api.attach_socket(container, params={"stdin": 1, "stream": 1})
    _lines[container] = line
    _socket(line).sendall(b"\n")  # it may begin: the limits hold from its first moment


def cut(container: str) -> None:
    line = _lines.pop(container, None)
    if line is not None:
        with suppress(OSError):
            _socket(line).shutdown(socket.SHUT_RDWR)
        line.close()


def _socket(line: Any) -> socket.socket:
    """What the SDK gives is only the reading side."""
    return getattr(line, "_sock", line)  # type: ignore[no-any-return]
