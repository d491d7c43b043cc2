"""Connections to libvirt: which one, kept open, and what it says when it fails."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from qvirt.errors import QvirtError, Unavailable, VMFailed

if TYPE_CHECKING:
    import libvirt

URIS = ("qemu:///system", "qemu:///session")
EMBEDDED = "qemu:///embed"
SETUP = "./setup_quantum_vm.sh --with libvirt"
HINTS = {
    "ermission denied": "libvirt's QEMU may not read your state directory: set LIBVIRT_DEFAULT_URI="
    "qemu:///session, or QVIRT_HOME to a folder that it may read",
}

_open: dict[tuple[int, str], libvirt.virConnect] = {}
"""By process and URI. A VM that has an owner goes when the connection that started it is closed."""

_looping = threading.Event()


def connect(uri: str) -> libvirt.virConnect:
    """Raises Unavailable with libvirt's reason."""
    import libvirt

    key = os.getpid(), uri
    known = _open.get(key)
    if known is not None and known.isAlive():
        return known
    # It prints every error beside raising it.
    libvirt.registerErrorHandler(lambda context, error: None, None)
    if uri.startswith(EMBEDDED):
        _run_event_loop()
    try:
        _open[key] = libvirt.open(uri)
        atexit.register(_close, key)
    except libvirt.libvirtError as error:
        raise Unavailable(f"{uri}: {error.get_error_message()}", hint=SETUP) from None
    return _open[key]


def _close(key: tuple[int, str]) -> None:
    """Before Python takes the library apart, which a connection that is closed later would complain of."""
    import libvirt

    if key[0] == os.getpid() and key in _open:
        with suppress(libvirt.libvirtError):
            _open.pop(key).close()


def default_uri() -> str:
    """``LIBVIRT_DEFAULT_URI``, else the first that answers. Raises Unavailable with the reasons."""
    named = os.environ.get("LIBVIRT_DEFAULT_URI")
    reasons = []
    for uri in [named] if named else URIS:
        try:
            connect(uri)
        except Unavailable as error:
            reasons.append(error.message)
        else:
            return uri
    raise Unavailable("; ".join(reasons), hint=SETUP)


@contextmanager
def failures(what: str, kind: type[QvirtError] = VMFailed) -> Iterator[None]:
    """Turn an error of libvirt into ours: ``what`` could not be done, and why.

    Raises Unavailable, whatever ``kind`` is, where the daemon has gone.
    """
    import libvirt

    try:
        yield
    except libvirt.libvirtError as error:
        reason = error.get_error_message() or str(error)
        if error.get_error_domain() == libvirt.VIR_FROM_RPC:
            raise Unavailable(f"{what}: libvirt does not answer: {reason}", hint=SETUP) from error
        hint = next((hint for sign, hint in HINTS.items() if sign in reason), None)
        raise kind(f"{what}: {reason}", hint=hint) from error


def _run_event_loop() -> None:
    """A driver within this process needs one for as long as it lives."""
    import libvirt

    if _looping.is_set():
        return
    _looping.set()
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="qvirt-libvirt", daemon=True).start()
