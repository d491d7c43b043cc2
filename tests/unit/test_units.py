from __future__ import annotations

import pytest

from qvirt.errors import UsageError
from qvirt.units import parse_bytes, parse_seconds, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("512m", 512 << 20), ("2g", 2 << 30), ("1.5 GiB", 3 << 29), ("4kb", 4096), ("1T", 1 << 40)],
)
def test_bytes_are_read_in_powers_of_1024(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "g", "-1g", "1x", "1..5g", "0", "nan", "2 g b", "1e9"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="amount of memory"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("500ms", 0.5), ("5m", 300), ("2h", 7200), ("1.5s", 1.5), ("1d", 86400)],
)
def test_times_are_read_with_their_unit(text: str, expected: float) -> None:
    assert parse_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5s", "inf", "5 years", "m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_seconds(text)


def test_amounts_are_shown_with_three_figures() -> None:
    assert [show_bytes(n) for n in (17, 1536, 16 << 30, 700 << 20, 16 << 100, 8 << 5000)] == [
        "17 B",
        "1.50 KiB",
        "16.0 GiB",
        "700 MiB",
        "2^104 B",
        "2^5003 B",
    ]
    assert [show_seconds(s) for s in (2e-5, 0.0123, 3.44, 320, 7200, 1e10)] == [
        "20 µs",
        "12.3 ms",
        "3.44 s",
        "5 min 20 s",
        "2.0 h",
        "317 years",
    ]
