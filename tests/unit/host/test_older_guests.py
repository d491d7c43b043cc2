"""Guests of images that are older than this qvirt: what they do not know is said, and the next step."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qvirt.errors import NotFound, Unsupported
from qvirt.host.guests import Guest
from qvirt.host.states import States
from qvirt.model.vm import VM, Endpoint, VMSpec, VMState


class Older(http.server.BaseHTTPRequestHandler):
    """Answers as a guest does that has neither states nor checkpoints as they come."""

    protocol_version = "HTTP/1.1"
    message = "Not Found"

    def _answer(self, status: int, body: object) -> None:
        octets = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def do_GET(self) -> None:
        self._answer(404, {"error": {"code": NotFound.code, "message": self.message}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(200, {"octets": 3, "seconds": 0.1})

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    class Server(socketserver.ThreadingUnixStreamServer):
        def get_request(self):  # type: ignore[no-untyped-def]
            found, _ = super().get_request()
            return found, ("guest", 0)

    with Server(str(tmp_path / "s"), Older) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Endpoint("token", socket=str(tmp_path / "s"))
        server.shutdown()
        thread.join()


@dataclass
class Machines:
    """In the place of VMs: all that is asked of them is where the guest is."""

    found: Endpoint

    def endpoint(self, vm: VM) -> Endpoint:
        return self.found


def test_states_are_not_there_and_the_next_step_is(endpoint: Endpoint) -> None:
    vm = VM("id", VMSpec("lab", "docker"), VMState.RUNNING, 1.0)
    states = States(Machines(endpoint))  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="older than this qvirt") as caught:
        states.of(vm)
    assert "qvirt image build" in str(caught.value.hint)
    told: list[str] = []
    assert states.known(vm, told.append) == []
    states.copy(vm, vm, told.append)
    assert len(told) == 2
    assert all("VM lab" in each and "qvirt image build" in each for each in told)


def test_a_checkpoint_that_is_none_is_not_kept(endpoint: Endpoint) -> None:
    with (
        Guest(endpoint) as guest,
        pytest.raises(Unsupported, match="older than this qvirt"),
        guest.save("job") as octets,
    ):
        list(octets)


def test_what_is_only_missing_is_not_called_old(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Older, "message", "there is no order 'x' in this VM")
    with Guest(endpoint) as guest, pytest.raises(NotFound, match="no order"):
        guest.status("x")
