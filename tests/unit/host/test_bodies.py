"""Large bodies from and to a guest that a test plays on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from qvirt.errors import NotFound, VMFailed
from qvirt.host.guests import Guest
from qvirt.model.vm import Endpoint

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
ERROR = b'{"error": {"code": "not_found", "message": "no order"}}'


@contextmanager
def answering(path: Path, answer: bytes, read: int = 1) -> Iterator[Guest]:
    """A guest that reads ``read`` octets of a request, answers, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer_one() -> None:
            end, _ = listener.accept()
            with end:
                while not end.recv(read):
                    pass
                end.sendall(answer)

        thread = Thread(target=answer_one)
        thread.start()
        with Guest(Endpoint("token", socket=str(path))) as guest:
            yield guest
        thread.join()


@pytest.mark.parametrize("head", [b"Content-Length: 6\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\n"])
def test_all_of_it_is_taken(tmp_path: Path, head: bytes) -> None:
    body = b"abcdef" if b"Length" in head else b"abc\r\n3\r\ndef\r\n0\r\n\r\n"
    with answering(tmp_path / "s", HEAD + head + body, 4096) as guest, guest.save("x") as octets:
        assert b"".join(octets) == b"abcdef"


@pytest.mark.parametrize("head", [b"Content-Length: 6\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\n"])
def test_what_is_cut_off_is_no_whole_body(tmp_path: Path, head: bytes) -> None:
    with (
        answering(tmp_path / "s", HEAD + head + b"abc", 4096) as guest,
        guest.kept_state("x") as octets,
        pytest.raises(VMFailed, match="does not answer"),
    ):
        list(octets)


def test_an_answer_may_come_before_all_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4 << 20))
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(ERROR), ERROR)
    with answering(tmp_path / "s", answer, 4096) as guest, pytest.raises(NotFound, match="no order"):
        guest.give_checkpoint("x", file)


def test_a_guest_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        Guest(Endpoint("token", socket=str(tmp_path / "none"))) as guest,
        pytest.raises(VMFailed),
        guest.save("x"),
    ):
        pass
