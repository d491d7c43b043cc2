"""``python -m qvirt.guest``: the service inside a VM. The order of imports is the order of the start.

The first worker is started before the web framework is loaded, so that both load at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from qvirt.guest import spawn


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qvirt.guest", description="Run circuits for whoever has the token."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, metavar="PATH", help="listen on a Unix socket (mode 0600)")
    where.add_argument("--port", type=int, metavar="N", help="listen on this TCP port")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="of the port (default: loopback)"
    )
    parser.add_argument("--token-file", type=Path, required=True, metavar="FILE", help="the bearer token")
    parser.add_argument("--memory", type=int, required=True, metavar="BYTES", help="for all that runs here")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="threads of each run")
    parser.add_argument("--spares", type=int, default=1, metavar="K", help="warm workers kept beside the one")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="measured costs of the engines")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where state vectors are kept")
    parser.add_argument("--ttl", type=float, metavar="SECONDS", help="end after this long")
    parser.add_argument("--idle-stop", type=float, metavar="SECONDS", help="end after this long without work")
    parser.add_argument(
        "--slowdown", type=float, default=1.0, metavar="N", help="of simulations in this machine"
    )
    parser.add_argument("--gpu", action="store_true", help="use the GPUs on which a kernel runs")
    parser.add_argument("--worker-user", type=int, metavar="UID", help="run circuits as this user")
    parser.add_argument(
        "--held",
        action="store_true",
        help="begin when a byte arrives on standard input: the limits hold then",
    )
    parser.add_argument("--lifeline", action="store_true", help="--held, and end when that is closed")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    os.umask(0o077)
    if (asked.lifeline or asked.held) and not os.read(0, 1):
        return

    def start() -> spawn.Spawned:
        return spawn.spawn(threads=asked.cpus, cold=asked.spares == 0, user=asked.worker_user)

    def end(*_: object) -> None:
        spawn.end_all()
        if asked.socket is not None:
            asked.socket.unlink(missing_ok=True)
        os._exit(0)

    if asked.gpu:
        from qvirt.guest.devices import number_like_the_driver

        number_like_the_driver()
    first = start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    listener = _listen(asked.socket, asked.host, asked.port)
    token = asked.token_file.read_text().strip()
    from qvirt.guest.confine import no_new_privileges

    no_new_privileges()
    if asked.lifeline:
        threading.Thread(target=_until_closed, args=(end,), daemon=True).start()
    from qvirt.guest.devices import Devices, torch_devices
    from qvirt.guest.lifetime import Lifetime
    from qvirt.guest.orders import Machine
    from qvirt.guest.server import serve

    devices = Devices.tried_by(torch_devices) if asked.gpu else Devices()
    machine = Machine(asked.memory, asked.cpus, asked.directory, asked.calibration, asked.slowdown, devices)
    serve(listener, machine, token, start, first, asked.spares, Lifetime(asked.ttl, asked.idle_stop, end))


def _listen(path: Path | None, host: str, port: int | None) -> socket.socket:
    """Bound at once: who connects before the service is up waits in the queue and need not try again."""
    if path is None:
        return socket.create_server((host, port or 0))
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def _until_closed(end: Callable[[], None]) -> None:
    while os.read(0, 1):
        pass
    end()


if __name__ == "__main__":
    main()
