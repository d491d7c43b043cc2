"""The file of parameter sets: their names in its first line, then one row a set."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from qvirt.errors import UsageError
from qvirt.model.sweep import Sweep, check_size
from qvirt.units import show_bytes

MAX_BYTES = 32 << 20

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ANGLE = re.compile(rf"([+-]?)\s*(?:({_NUMBER})\s*\*?\s*)?pi\s*(?:/\s*({_NUMBER}))?")


STANDARD_INPUT = "-"


def read_sweep(path: Path, circuits: Sequence[str] = ()) -> Sweep:
    """Raises UsageError with the file, the line and the column of what is wrong; ``circuits`` are those that
    were named beside it."""
    if str(path) != STANDARD_INPUT:
        return _named_file(path)
    if STANDARD_INPUT in circuits:
        raise UsageError(
            "both the circuit and --params are -, and standard input can be read only once",
            hint="name a file for one of them",
        )
    if sys.stdin.isatty():
        sys.stderr.write("reading parameters from the terminal: end them with Ctrl-D\n")
    return _parsed(sys.stdin.buffer, "<stdin>")


def parse_sweep(text: str) -> Sweep:
    """Numbers, or multiples and fractions of pi: ``0.5,-pi/2,3*pi/4``. Blank lines are skipped."""
    lines = ((number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
    number, header = next(lines, (1, ""))
    names: list[str] = []
    for column, cell in _cells(header):
        if cell in names:
            raise UsageError(f"parameter {cell!r} is named twice", line=number, column=column)
        names.append(_named(cell, number, column))
    rows: list[tuple[float, ...]] = []
    for number, line in lines:
        cells = _cells(line)
        if len(cells) != len(names):
            count = f"{len(cells)} value{'s' if len(cells) > 1 else ''}"
            column = cells[len(names)][0] if len(cells) > len(names) else len(line) + 1
            message = f"there are {count}, and the first line names {len(names)} parameters"
            raise UsageError(message, line=number, column=column)
        rows.append(tuple(_value(cell, number, column) for column, cell in cells))
        try:
            check_size(len(names), len(rows))
        except UsageError as error:
            error.line = number
            raise
    if not rows:
        raise UsageError("there are no rows of values under the names", hint="add one line for each set")
    return Sweep(tuple(names), tuple(rows))


def _named_file(path: Path) -> Sweep:
    try:
        with path.open("rb") as file:
            return _parsed(file, str(path))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None


def _parsed(file: BinaryIO, name: str) -> Sweep:
    try:
        return parse_sweep(_text(file))
    except UsageError as error:
        error.file = name
        raise


def _text(file: BinaryIO) -> str:
    octets = file.read(MAX_BYTES + 1)
    if len(octets) > MAX_BYTES:
        raise UsageError(f"is larger than {show_bytes(MAX_BYTES)}", hint="split it into several files")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise UsageError("this is not text in UTF-8", line=line) from None


def _cells(line: str) -> list[tuple[int, str]]:
    """Each with the column that it begins in, counted from 1. Nothing here has a comma in it."""
    found, column = [], 1
    for cell in line.split(","):
        bare = cell.strip()
        found.append((column + len(cell) - len(cell.lstrip()), bare.removeprefix('"').removesuffix('"')))
        column += len(cell) + 1
    return found


def _named(cell: str, line: int, column: int) -> str:
    if not cell or _number(cell) is not None:
        hint = "the first line names the parameters, apart by commas: theta,phi"
        what = f"{cell!r} is no name of a parameter" if cell else "the name of a parameter is expected"
        raise UsageError(what, hint=hint, line=line, column=column)
    return cell


def _value(cell: str, line: int, column: int) -> float:
    value = _number(cell)
    if value is None:
        hint = "a value is a number in radians, or like pi/2, -3*pi/4"
        raise UsageError(f"{cell!r} is not a number", hint=hint, line=line, column=column)
    if not math.isfinite(value):
        raise UsageError(f"{cell!r} is not a finite number", line=line, column=column)
    return value


def _number(text: str) -> float | None:
    if found := _ANGLE.fullmatch(text):
        sign, factor, divisor = found.groups()
        turned = float(factor or 1) * math.pi
        divided = float(divisor or 1)
        whole = turned / divided if divided else math.inf
        return -whole if sign == "-" else whole
    try:
        return float(text)
    except ValueError:
        return None
