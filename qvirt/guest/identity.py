"""Who may speak to a guest, and how a copy of a running guest becomes a VM of its own."""

from __future__ import annotations

import fcntl
import hmac
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from qvirt.guest.lifetime import Lifetime
from qvirt.model.order import Identity

_RNDADDENTROPY = 0x40085203
_RNDRESEEDCRNG = 0x5207


class Access:
    """The bearer token of the guest."""

    def __init__(self, token: str) -> None:
        self.token = token

    def granted(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode())


def take(identity: Identity, access: Access, lifetime: Lifetime) -> None:
    """Become another VM: its token, its lifetime, and what it says of the machine."""
    if sys.platform == "linux":
        _change_machine(identity)
    lifetime.begin(identity.ttl, identity.idle_stop)
    access.token = identity.token


def _change_machine(identity: Identity) -> None:
    """Random numbers, clock and host name, as far as this process may set them."""
    if identity.entropy is not None:
        with suppress(OSError):
            _seed(identity.entropy)
    if identity.time is not None:
        with suppress(OSError):
            time.clock_settime(time.CLOCK_REALTIME, identity.time)
    if identity.hostname is not None:
        with suppress(OSError):
            socket.sethostname(identity.hostname)


def _seed(entropy: bytes) -> None:
    """Without it every copy would draw the same random numbers (random(4), RNDADDENTROPY)."""
    with Path("/dev/urandom").open("wb", buffering=0) as device:
        fcntl.ioctl(device, _RNDADDENTROPY, struct.pack("ii", 8 * len(entropy), len(entropy)) + entropy)
        fcntl.ioctl(device, _RNDRESEEDCRNG)
