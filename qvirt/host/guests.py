"""The host's side of a guest's HTTP interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from qvirt.errors import ErrorInfo, QvirtError, Unsupported, VMFailed, from_info
from qvirt.host.bodies import Connection, pieces
from qvirt.model.order import Answer, MachineSize, Order, OrderStatus
from qvirt.model.state import KeptState
from qvirt.model.vm import Endpoint
from qvirt.model.wire import from_json, to_json

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

OCTETS = "application/octet-stream"

NO_ROUTE = ("Not Found", "Method Not Allowed")
"""What a guest says of a request that it does not know, and of nothing else."""

LONG_POLL_SECONDS = 0.5
SHORT_ORDER_SECONDS = 0.02
"""Most orders are small: one that ends so soon is not asked after."""

HEALTH_SECONDS = 1.0
"""A guest that is booting may take a connection before it can answer on it."""


class Guest:
    """One guest's verbs. Errors that the guest names are raised as what they are; silence is VMFailed."""

    def __init__(self, endpoint: Endpoint) -> None:
        # Takes as long to import as all else together, and most commands never speak to a guest.
        import ssl

        import httpx

        self._endpoint = endpoint
        self._silence = (httpx.TransportError, HTTPException, OSError)
        self._http = httpx.Client(
            # No TLS is spoken here: an empty context spares loading the system's certificates.
            transport=httpx.HTTPTransport(
                uds=endpoint.socket, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ),
            base_url=endpoint.url or "http://guest",
            headers={"Authorization": f"Bearer {endpoint.token}"},
            timeout=httpx.Timeout(30.0, connect=5.0),
            trust_env=False,
        )

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def healthy(self, timeout: float = HEALTH_SECONDS) -> bool:
        try:
            return self._http.get("/health", timeout=timeout).status_code == 200
        except self._silence:
            return False

    def resize(self, memory: int, cpus: int) -> MachineSize:
        return self._call("PUT", "/v1/machine", MachineSize, to_json(MachineSize(memory, cpus)))

    def post(self, order: Order) -> OrderStatus:
        return self._call("POST", f"/v1/jobs?wait={SHORT_ORDER_SECONDS}", OrderStatus, to_json(order))

    def status(self, order_id: str, wait: float = LONG_POLL_SECONDS) -> OrderStatus:
        """How the order stands; comes back early when that changes, at the latest after ``wait`` seconds."""
        return self._call("GET", f"/v1/jobs/{order_id}?wait={wait}", OrderStatus)

    def answer(self, order_id: str) -> Answer:
        return self._call("GET", f"/v1/jobs/{order_id}/result", Answer)

    def cancel(self, order_id: str) -> OrderStatus:
        return self._call("DELETE", f"/v1/jobs/{order_id}", OrderStatus)

    def state(self, order_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """The state vector of a completed order, as the octets of an .npy file."""
        return self._octets(f"/v1/jobs/{order_id}/state")

    def save(self, order_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """Where a running order stands, as it is written; begins when its engine next stops for a moment."""
        return self._octets(f"/v1/jobs/{order_id}/checkpoint", "POST")

    def give_checkpoint(self, name: str, path: Path) -> None:
        """To the order that was posted to resume from it; returns when it has been taken."""
        with (
            path.open("rb") as file,
            self._transport_errors(),
            closing(Connection(self._endpoint)) as connection,
        ):
            response = connection.ask("PUT", f"/v1/checkpoints/{name}", file)
            said = response.read()
        if response.status >= 400:
            raise _error(response.status, said)

    def states(self) -> list[KeptState]:
        """Those that the VM keeps between jobs."""
        return self._call("GET", "/v1/states", list[KeptState])

    def kept_state(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """A kept state, as the octets of an .npy file."""
        return self._octets(f"/v1/states/{name}")

    def give_state(
        self, name: str, octets: Iterable[bytes], *, overwrite: bool = False, like: KeptState | None = None
    ) -> KeptState:
        """Have a state kept; one that was kept elsewhere is kept as what it was, ``like``."""
        asked: dict[str, str] = {"overwrite": "true"} if overwrite else {}
        if like is not None:
            asked |= {"created": repr(like.created), "precision": like.precision.value}
            asked |= {"circuit": like.circuit} if like.circuit else {}
        with self._transport_errors():
            response = self._http.put(f"/v1/states/{name}", content=octets, params=asked, timeout=None)
        return _read(response, KeptState)

    def remove_state(self, name: str) -> None:
        with self._transport_errors():
            response = self._http.delete(f"/v1/states/{name}")
        if response.status_code >= 400:
            raise _error(response.status_code, response.content)

    @contextmanager
    def _octets(self, path: str, verb: str = "GET") -> Iterator[Iterator[bytes]]:
        with closing(Connection(self._endpoint)) as connection:
            with self._transport_errors():
                response = connection.ask(verb, path)
                said = b"" if response.status == 200 else response.read()
            if response.status != 200:
                raise _error(response.status, said)
            if response.headers["content-type"] != OCTETS:
                raise _older()
            yield self._heard(pieces(response))

    def _heard(self, octets: Iterator[bytes]) -> Iterator[bytes]:
        with self._transport_errors():
            yield from octets

    def _call(self, verb: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        with self._transport_errors():
            response = self._http.request(verb, path, content=body)
        return _read(response, kind)

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except self._silence as error:
            raise VMFailed(f"the VM does not answer: {error or type(error).__name__}") from error


def _read(response: httpx.Response, kind: type[T]) -> T:
    if response.status_code >= 400:
        raise _error(response.status_code, response.content)
    return from_json(response.content, kind)


def _error(status: int, body: bytes) -> QvirtError:
    try:
        found = from_info(from_json(body, dict[str, ErrorInfo])["error"])
    except (QvirtError, KeyError):
        return VMFailed(f"the VM answered with HTTP status {status}")
    return _older() if found.message in NO_ROUTE else found


def _older() -> Unsupported:
    return Unsupported(
        "the VM was made of an image older than this qvirt, which does not know what it was asked",
        hint="`qvirt image build` makes a new image; then make the VM anew",
    )
