"""When a guest ends by itself, and what it takes from an identity."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from qvirt.guest import identity as identities
from qvirt.guest.identity import Access, take
from qvirt.guest.lifetime import Lifetime
from qvirt.model.order import Identity

PATIENCE = 10.0


class Ended(BaseException):
    """In the place of the end of the process."""


def _end() -> None:
    raise Ended


def _watched(lifetime: Lifetime, idle_since: float | None, *, told: Identity | None = None) -> bool:
    """Whether it ends of itself; ``told`` reaches it while it is watched."""

    async def watch() -> None:
        watching = asyncio.ensure_future(lifetime.watch(SimpleNamespace(idle_since=idle_since)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        if told is not None:
            take(told, Access("token"), lifetime)
        await asyncio.wait_for(watching, PATIENCE if told is not None or lifetime._ttl else 0.2)

    try:
        asyncio.run(watch())
    except Ended:
        return True
    except asyncio.TimeoutError:
        pass
    return False


@pytest.mark.parametrize(
    ("ttl", "idle_stop", "reason"),
    [(0.01, None, "its time to live is over"), (None, 0.01, "it had no work for 10 ms")],
)
def test_it_ends_and_says_why(
    ttl: float | None, idle_stop: float | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _watched(Lifetime(ttl, idle_stop, _end), time.monotonic())
    assert capsys.readouterr().err.endswith(f"{reason}\n")


def test_one_without_limits_or_at_work_does_not_end() -> None:
    assert not _watched(Lifetime(None, None, _end), 0.0)
    assert not _watched(Lifetime(None, 0.01, _end), None)


def test_limits_that_come_later_hold() -> None:
    assert _watched(Lifetime(None, None, _end), None, told=Identity("new", ttl=0.01))


def test_the_time_before_it_was_anybody_s_is_no_rest() -> None:
    lifetime = Lifetime(None, None, _end)
    lifetime.begin(None, 60.0)
    _, left = lifetime._left(idle_since=time.monotonic() - 3600, now=time.monotonic())
    assert left == pytest.approx(60.0, abs=1.0)


def test_an_identity_without_a_machine_leaves_the_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process VM of root is not to set the clock and the name of the host."""
    for name in ("clock_settime", "sethostname"):
        monkeypatch.setattr(identities.time if name == "clock_settime" else identities.socket, name, _fail)
    monkeypatch.setattr(identities, "_seed", _fail)
    access = Access("old")
    take(Identity("new", ttl=5.0), access, Lifetime(None, None, _end))
    assert access.granted("Bearer new")


def _fail(*_: object) -> None:
    raise AssertionError("the machine was touched")
