"""Files of parameter sets: what is read, and where what is wrong stands."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest

from qvirt.cli.parameters import parse_sweep, read_sweep
from qvirt.errors import UsageError
from qvirt.model import sweep as model
from qvirt.model.sweep import Sweep


def test_numbers_and_parts_of_pi() -> None:
    text = 'theta, "phi[0]"\r\n0.5,pi\n\n-pi/2 , 3*pi/4\n2pi,+1e-3\n-2*pi/0.5,.5\n'
    pi = math.pi
    rows = ((0.5, pi), (-pi / 2, 3 * pi / 4), (2 * pi, 1e-3), (-4 * pi, 0.5))
    assert parse_sweep(text) == Sweep(("theta", "phi[0]"), rows)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "name of a parameter is expected"),
        ("a,b\n", None, None, "no rows"),
        ("a,,b\n1,2,3\n", 1, 3, "name of a parameter is expected"),
        ("0.5,pi\n1,2\n", 1, 1, "'0.5' is no name"),
        ("a,b, a\n1,2,3\n", 1, 6, "'a' is named twice"),
        ("a,b\n1,2\n1, two\n", 3, 4, "'two' is not a number"),
        ("a,b\n1,\n", 2, 3, "'' is not a number"),
        ("a,b\n\nnan,1\n", 3, 1, "'nan' is not a finite number"),
        ("a,b\n1,-inf\n", 2, 3, "'-inf' is not a finite number"),
        ("a\n1e999\n", 2, 1, "'1e999' is not a finite number"),
        ("a\npi/0\n", 2, 1, "'pi/0' is not a finite number"),
        ("a,b\n1\n", 2, 2, "there are 1 value, and the first line names 2"),
        ("a,b\n1,2,3\n", 2, 5, "there are 3 values, and the first line names 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    text: str, line: int | None, column: int | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        parse_sweep(text)
    assert (raised.value.line, raised.value.column) == (line, column)


def test_too_many_rows_are_refused_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MAX_ROWS", 3)
    with pytest.raises(UsageError, match="more than 3 rows") as raised:
        parse_sweep("a\n" + "1\n" * 5)
    assert raised.value.line == 5
    monkeypatch.setattr(model, "MAX_VALUES", 4)
    with pytest.raises(UsageError, match="more than 2 rows of 2 parameters"):
        parse_sweep("a,b\n" + "1,2\n" * 3)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as raised:
        read_sweep(tmp_path / "none.csv")
    assert raised.value.file == str(tmp_path / "none.csv")
    file = tmp_path / "latin.csv"
    file.write_bytes("a\n1\n£".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8") as raised:
        read_sweep(file)
    assert raised.value.line == 3
    file.write_bytes(b"\xef\xbb\xbfa\n1\n")
    assert read_sweep(file).names == ("a",)


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        ((), ((),)),
        (("a",), ()),
        (("a", "a"), ((1.0, 2.0),)),
        (("a",), ((1.0, 2.0),)),
        (("a",), ((math.nan,),)),
    ],
)
def test_a_sweep_is_whole(names: tuple[str, ...], rows: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(UsageError):
        Sweep(names, rows)


class Input:
    """In the place of standard input, which is no terminal."""

    def __init__(self, octets: bytes) -> None:
        self.buffer = io.BytesIO(octets)

    def isatty(self) -> bool:
        return False


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Input(b"a,b\n1,pi\n"))
    with pytest.raises(UsageError, match="both the circuit and --params"):
        read_sweep(Path("-"), ["a.qasm", "-"])
    assert read_sweep(Path("-"), ["a.qasm"]).names == ("a", "b")
    monkeypatch.setattr("sys.stdin", Input(b"a,b\n1\n"))
    with pytest.raises(UsageError, match="1 value") as raised:
        read_sweep(Path("-"))
    assert (raised.value.file, raised.value.line) == ("<stdin>", 2)
