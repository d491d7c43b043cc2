"""The few words that are spoken with the service in a guest before anybody else is told of it."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from qvirt.errors import ErrorInfo, QvirtError, VMFailed
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Capabilities, Identity, Order, OrderKind, OrderStatus
from qvirt.model.run import RunOptions
from qvirt.model.vm import Endpoint, VMSpec
from qvirt.model.wire import from_json, to_json
from qvirt.runtimes.lifetime import time_left

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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("guest", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Service:
    """Spoken with by the standard library alone: what a command loads for more would take longer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def wait(self, seconds: float, alive: Callable[[], bool]) -> None:
        """Until it answers. Raises VMFailed where it ends before, or stays silent for so long."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if not alive():
                raise VMFailed("the guest ended while it started")
            if time.monotonic() > deadline:
                raise VMFailed(f"the guest did not answer within {seconds:.0f} s")
            time.sleep(PAUSE)

    def become(self, token: str, spec: VMSpec, created: float, seconds: float) -> None:
        """Make a copied machine a VM of its own: token, clock, random numbers, host name, lifetime."""
        now = time.time()
        machine = now, os.urandom(ENTROPY_BYTES), spec.name
        self._take(Identity(token, *machine, time_left(spec, created, now), spec.idle_stop), seconds)

    def dedicate(self, spec: VMSpec, created: float, seconds: float) -> None:
        """Tell a guest that nobody had yet how long it is to live."""
        ttl = time_left(spec, created, time.time())
        self._take(Identity(self._endpoint.token, ttl=ttl, idle_stop=spec.idle_stop), seconds)

    def _take(self, identity: Identity, seconds: float) -> None:
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
        line = self._line(seconds)
        try:
            line.request(verb, path, body, {"Authorization": f"Bearer {self._endpoint.token}"})
            response = line.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise VMFailed(f"the guest does not answer: {error or type(error).__name__}") from error
        finally:
            line.close()
        if response.status >= 400:
            raise VMFailed(f"the guest refuses {verb} {path}: {_reason(answer, response.status)}")
        return answer

    def _line(self, seconds: float) -> http.client.HTTPConnection:
        if self._endpoint.socket is not None:
            return _UnixConnection(self._endpoint.socket, seconds)
        place = urlsplit(self._endpoint.url or "")
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)


def _reason(answer: bytes, status: int) -> str:
    try:
        return from_json(answer, dict[str, ErrorInfo])["error"].message
    except (QvirtError, KeyError):
        return f"HTTP status {status}"
