"""Where the engine is looked for, and how its silence is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from qvirt.errors import Conflict, StateError, Unavailable, VMFailed
from qvirt.runtimes.docker import engine
from qvirt.runtimes.docker.engine import Engine, address, silence


def test_the_environment_goes_first() -> None:
    assert address({"DOCKER_HOST": "unix:///a.sock", "CONTAINER_HOST": "unix:///b.sock"}) == "/a.sock"
    assert address({"CONTAINER_HOST": "unix:/b.sock"}) == "/b.sock"


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:2375", "ssh://there"])
def test_an_engine_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="must be on this machine") as caught:
        address({"DOCKER_HOST": url})
    assert "DOCKER_HOST" in (caught.value.hint or "")


def test_silence_has_a_reason(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    assert isinstance(silence(path), FileNotFoundError)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert isinstance(silence(path), ConnectionRefusedError)
        listener.listen()
        assert silence(path) is None


def test_an_engine_that_is_not_there_is_unavailable_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer: No such file") as caught:
        _ = Engine(str(tmp_path / "none.sock")).api
    assert "start docker" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ("write /var/lib/x: no space left on device", 500, StateError),
        ('could not select device driver "" with capabilities: [[gpu]]', 500, Unavailable),
        ("Container x is paused, unpause the container before exec", 409, Conflict),
        ("anything else", 500, VMFailed),
    ],
)
def test_refusals_are_told_by_kind(said: str, status: int, kind: type[Exception]) -> None:
    error = engine._refusal("make it", said, status)
    assert type(error) is kind
    assert said in error.message
