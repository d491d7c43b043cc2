"""This terminal, attached to a Unix socket."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import termios
import tty
from pathlib import Path

from qvirt.errors import Unavailable, UsageError

LEAVE = b"\x1d"
"""Ctrl-], as telnet and virsh have it."""


def attach(path: Path) -> None:
    """Until Ctrl-] is typed or the other end closes. Raises UsageError where there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError("a console needs a terminal", hint="`qvirt vm logs` prints what was printed so far")
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError as error:
            raise Unavailable(f"the console cannot be reached: {error.strerror}") from None
        sys.stderr.write("attached; Ctrl-] leaves\r\n")
        before = termios.tcgetattr(0)
        try:
            tty.setraw(0)
            _carry(line)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _carry(line: socket.socket) -> None:
    with selectors.DefaultSelector() as waiting:
        waiting.register(0, selectors.EVENT_READ)
        waiting.register(line, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is line:
                    came = line.recv(4096)
                    if not came:
                        return
                    os.write(1, came)
                else:
                    typed = os.read(0, 4096)
                    if not typed or LEAVE in typed:
                        return
                    line.sendall(typed)
