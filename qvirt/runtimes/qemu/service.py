"""The few words that a runtime speaks with the service in its guest before anybody else does."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable

from qvirt.errors import QvirtError, VMFailed
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Capabilities, Identity, Order, OrderStatus
from qvirt.model.run import RunOptions
from qvirt.model.wire import from_json, to_json

ENTROPY_BYTES = 32
PAUSE = 0.05
TRY_SECONDS = 2.0
"""For one attempt while the guest boots: a connection made before its network is up is never answered."""

WARM_UP = CircuitSource(
    "warm-up",
    b'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\n'
    b"h q[0];\ncx q[0],q[1];\nmeasure q -> c;\n",
)


class Service:
    """The guest that listens behind ``port`` on loopback and knows ``token``."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token

    def wait(self, seconds: float, alive: Callable[[], bool]) -> None:
        """Until it answers. Raises VMFailed where it ends before, or stays silent for so long."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if not alive():
                raise VMFailed("the guest ended while it started")
            if time.monotonic() > deadline:
                raise VMFailed(f"the guest did not answer within {seconds:.0f} s")
            time.sleep(PAUSE)

    def become(self, token: str, hostname: str, seconds: float) -> None:
        """Give the guest a new identity: token, clock, random numbers, host name."""
        identity = Identity(token, time.time(), os.urandom(ENTROPY_BYTES), hostname)
        self._call("PUT", "/v1/identity", to_json(identity), seconds)

    def warm_up(self, seconds: float) -> None:
        """Run a small circuit on every engine and then as everybody does, so that all is in memory."""
        told = from_json(self._call("GET", "/v1/capabilities", None, seconds), Capabilities)
        deadline = time.monotonic() + seconds
        for engine in [each.name for each in told.engines if each.version is not None] + [None]:
            name = f"warm-up-{engine}"
            order = Order(name, source=WARM_UP, options=RunOptions(shots=16, seed=1, engine=engine))
            self._call("POST", "/v1/jobs", to_json(order), seconds)
            while not (status := self._status(name)).state.ended:
                if time.monotonic() > deadline:
                    raise VMFailed(f"the guest did not run a small circuit within {seconds:.0f} s")
            if status.error is None:
                self._call("GET", f"/v1/jobs/{name}/result", None, seconds)
            elif engine is None:  # one engine that cannot run it is no harm
                raise VMFailed(f"the guest could not run a small circuit: {status.error.message}")

    def _status(self, order_id: str) -> OrderStatus:
        return from_json(self._call("GET", f"/v1/jobs/{order_id}?wait=5", None, 30.0), OrderStatus)

    def _answers(self) -> bool:
        try:
            self._call("GET", "/health", None, TRY_SECONDS)
        except VMFailed:
            return False
        return True

    def _call(self, verb: str, path: str, body: bytes | None, seconds: float) -> bytes:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=seconds)
        try:
            line.request(verb, path, body, {"Authorization": f"Bearer {self._token}"})
            response = line.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise VMFailed(f"the guest does not answer: {error or type(error).__name__}") from error
        finally:
            line.close()
        if response.status >= 400:
            raise VMFailed(f"the guest refuses {verb} {path}: {_reason(answer, response.status)}")
        return answer


def _reason(answer: bytes, status: int) -> str:
    from qvirt.errors import ErrorInfo

    try:
        return from_json(answer, dict[str, ErrorInfo])["error"].message
    except (QvirtError, KeyError):
        return f"HTTP status {status}"
