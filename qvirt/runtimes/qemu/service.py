"""The few words that a runtime speaks with the service in its guest before anybody else does."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable

from qvirt.errors import ErrorInfo, QvirtError, VMFailed
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Capabilities, Identity, Order, OrderKind, OrderStatus
from qvirt.model.run import RunOptions
from qvirt.model.wire import from_json, to_json

ENTROPY_BYTES = 32
PAUSE = 0.05
REPLY_SECONDS = 60.0
TRY_SECONDS = 2.0
"""For one attempt while the guest boots: a connection made before its network is up is never answered."""

OPENQASM_2 = CircuitSource(
    "warm-up.qasm",
    b'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\n'
    b"h q[0];\ncx q[0],q[1];\nmeasure q -> c;\n",
)
OPENQASM_3 = CircuitSource(
    "warm-up-3.qasm",
    b'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nbit[2] c;\n'
    b"h q[0];\ncx q[0],q[1];\nc = measure q;\n",
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
        """Run a small circuit on every engine and by every parser, so that all of them are in memory."""
        deadline = time.monotonic() + seconds
        told = from_json(self._call("GET", "/v1/capabilities", None, seconds), Capabilities)
        for engine in (each.name for each in told.engines if each.version is not None):
            options = RunOptions(shots=16, seed=1, engine=engine)
            self._carry_out(Order(f"warm-up-{engine}", source=OPENQASM_2, options=options), deadline)
        for kind in (OrderKind.DRAW, OrderKind.RUN):
            options = RunOptions(shots=16, seed=1)
            order = Order(f"warm-up-{kind.value}", kind, OPENQASM_3, options)
            error = self._carry_out(order, deadline)
        if error is not None:  # that of one engine would be no harm
            raise VMFailed(f"the guest could not run a small circuit: {error.message}")

    def _carry_out(self, order: Order, deadline: float) -> ErrorInfo | None:
        self._call("POST", "/v1/jobs", to_json(order), REPLY_SECONDS)
        while not (status := self._status(order.id)).state.ended:
            if time.monotonic() > deadline:
                raise VMFailed("the guest did not run a small circuit in time")
        if status.error is None:
            self._call("GET", f"/v1/jobs/{order.id}/result", None, REPLY_SECONDS)
        return status.error

    def _status(self, order_id: str) -> OrderStatus:
        return from_json(self._call("GET", f"/v1/jobs/{order_id}?wait=5", None, REPLY_SECONDS), OrderStatus)

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
    try:
        return from_json(answer, dict[str, ErrorInfo])["error"].message
    except (QvirtError, KeyError):
        return f"HTTP status {status}"
