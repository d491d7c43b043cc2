"""The event loop of the guest: the pool of workers, the orders and the web server on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from qvirt.guest.app import create_app
from qvirt.guest.jobs import Jobs
from qvirt.guest.lifetime import Lifetime
from qvirt.guest.orders import Machine, Orders
from qvirt.guest.spawn import Spawned
from qvirt.guest.workers import Pool


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stay with the guest: it ends at once and waits for no connection."""
        yield


def serve(
    listener: socket.socket,
    machine: Machine,
    token: str,
    start: Callable[[], Spawned],
    first: Spawned,
    spares: int,
    lifetime: Lifetime,
) -> None:
    """Answer on ``listener`` for as long as the process lives."""

    async def run() -> None:
        pool = Pool(start, first, spares)
        jobs = Jobs(Orders(machine, pool))
        config = uvicorn.Config(
            create_app(jobs, pool, machine, token, lifetime),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,
            server_header=False,
        )
        watch = asyncio.ensure_future(lifetime.watch(jobs))
        await Server(config).serve([listener])
        watch.cancel()

    asyncio.run(run())
