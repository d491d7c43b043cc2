"""Large bodies out of a guest and into it.

By Python's own client, which passes on what it reads as it lies in the socket: httpx parses it in pieces of
64 KiB, and takes twice the time.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import BinaryIO
from urllib.parse import urlsplit

from qvirt.model.vm import Endpoint

PIECE = 256 << 10
CONNECT_SECONDS = 5.0


class Connection(HTTPConnection):
    """To a guest, for one request; what it answers may take as long as it likes."""

    def __init__(self, endpoint: Endpoint) -> None:
        url = urlsplit(endpoint.url or "http://guest")
        super().__init__(url.hostname or "", url.port, timeout=CONNECT_SECONDS, blocksize=PIECE)
        self._endpoint = endpoint

    def connect(self) -> None:
        if self._endpoint.socket is None:
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(CONNECT_SECONDS)
            self.sock.connect(self._endpoint.socket)
        self.sock.settimeout(None)

    def ask(self, verb: str, path: str, file: BinaryIO | None = None) -> HTTPResponse:
        """The answer, of which only the head has been read."""
        headers = {"Authorization": f"Bearer {self._endpoint.token}"}
        if file is not None:
            headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer may come before all was sent
            self.request(verb, path, file, headers)
        return self.getresponse()


def pieces(response: HTTPResponse) -> Iterator[bytes]:
    """Raises IncompleteRead where the answer is cut off."""
    while some := response.read(PIECE):
        yield some
    if response.length:
        raise IncompleteRead(b"", response.length)
