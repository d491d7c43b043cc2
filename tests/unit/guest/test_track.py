from __future__ import annotations

import pytest

from qvirt.guest.track import Track
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Position
from qvirt.model.run import Method, Precision


def _estimate(seconds: float, *, certain: bool = True) -> Estimate:
    candidate = Candidate("aer", Method.STATEVECTOR, Precision.DOUBLE)
    return Estimate(candidate, 0, seconds, 1.0, certain, "")


def test_nothing_runs_before_it_has_begun() -> None:
    progress = Track(arrived=10.0).progress(now=15.0)
    assert (progress.phase, progress.seconds, progress.fraction) == ("queued", 0.0, None)


def test_what_is_left_comes_from_the_plan_until_the_engine_says_more() -> None:
    track = Track(arrived=10.0)
    track.start(11.0)
    track.simulate(_estimate(8.0), 12.0)
    assert track.progress(14.0).seconds == pytest.approx(3.0)
    assert track.progress(14.0).seconds_left == pytest.approx(6.0)
    track.advance(0.25)
    assert track.progress(16.0).seconds_left == pytest.approx(12.0)


def test_what_was_done_before_a_resumed_run_took_none_of_its_time() -> None:
    track = Track(arrived=0.0)
    track.resumed_at = 0.5
    track.start(0.0)
    track.simulate(_estimate(8.0), 0.0)
    track.advance(0.5, Position(50, 100))
    assert track.progress(1.0).seconds_left == pytest.approx(7.0), "as the plan says: it has only begun"
    track.advance(0.75, Position(75, 100))
    assert track.progress(4.0).seconds_left == pytest.approx(4.0)
    assert track.progress(4.0).position == Position(75, 100)


def test_nothing_is_foretold_where_the_plan_was_wrong_or_does_not_know() -> None:
    track = Track(arrived=0.0)
    track.start(0.0)
    track.simulate(_estimate(2.0), 0.0)
    assert track.progress(3.0).seconds_left is None
    track.simulate(_estimate(2.0, certain=False), 3.0)
    assert track.progress(4.0).seconds_left is None


def test_time_stands_still_after_the_end() -> None:
    track = Track(arrived=0.0)
    track.start(1.0)
    track.end(3.0)
    progress = track.progress(100.0)
    assert (progress.phase, progress.seconds, progress.seconds_left) == ("ended", 2.0, None)
