"""A circuit file as text: what every format refuses, and where it stands."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from qvirt.circuits.limits import ParseLimits
from qvirt.errors import CircuitError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_BLANK = re.compile(rb"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMENT_OR_STRING = re.compile(r'"[^"\n]*"?|//[^\n]*|/\*(?:.*?\*/|.*)', re.DOTALL)
_BARE_NAME = re.compile(r"\b(\w+)\b\s*(?:[;,]|->)")
_GATE_DEFINITION = re.compile(r"\bgate\s+(\w+)[^{};]*(?:\{([^}]*)\}?)?")
_NAME = re.compile(r"\b[^\W\d]\w*")
_NOT_NEWLINE = re.compile(r"[^\n]")

_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"([{")] = 1
_STEPS[list(b")]}")] = -1
_NO_BRACKETS = bytes(set(range(256)) - set(b"([{)]}"))
_BRACES_END_STATEMENTS = bytes.maketrans(b"{}", b";;")
_NO_OPERATORS = bytes(set(range(256)) - set(b"+-*/^!~@(;{}"))


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def error_at(text: str, offset: int, message: str, hint: str | None = None) -> CircuitError:
    line, column = place(text, offset)
    return CircuitError(message, hint=hint, line=line, column=column)


def body(data: bytes) -> bytes:
    """What follows a byte order mark, blank space and comments, of the first million bytes."""
    data = data.removeprefix(codecs.BOM_UTF8)
    data = data[: 1 << 20]
    start = 0
    while match := _BLANK.match(data, start):
        start = match.end()
    return data[start:]


def decode(data: bytes) -> str:
    """Raises CircuitError naming the first byte that is not UTF-8 text."""
    if data.startswith(_UTF16):
        raise CircuitError("the file is UTF-16 or UTF-32 text", hint="save it as UTF-8", line=1, column=1)
    data = data.removeprefix(codecs.BOM_UTF8)
    nul = data.find(b"\0")
    if nul >= 0:
        before = data[:nul].decode("utf-8", "replace")
        raise error_at(before, len(before), "there is a NUL byte in the file", "save it as plain UTF-8 text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise error_at(before, len(before), message, "save the file as UTF-8") from None


def blank_comments(text: str) -> str:
    """Comments become blanks, so that every other character stays where it was."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        if found.startswith('"'):
            return found
        if found.startswith("/*") and (len(found) < 4 or not found.endswith("*/")):
            raise error_at(text, match.start(), "this comment is not closed", "close it with */")
        return _NOT_NEWLINE.sub(" ", found)

    return _COMMENT_OR_STRING.sub(blank, text)


def check_depth(code: str, limits: ParseLimits) -> None:
    """Refuse what would overflow a parser's stack. ``code`` has no comments."""
    data = code.encode()
    steps = _STEPS[np.frombuffer(data.translate(None, _NO_BRACKETS), np.uint8)]
    depth = np.cumsum(steps, dtype=np.int32)
    if depth.size and depth.max() > limits.nesting:
        number = int(np.argmax(depth > limits.nesting))
        offset = _bracket(code, number)
        raise error_at(code, offset, f"brackets are nested more than {limits.nesting} deep")
    if data.count(b";") > limits.statements:
        raise CircuitError(f"there are {data.count(b';'):,} statements, more than {limits.statements:,}")
    marks = np.frombuffer(data.translate(_BRACES_END_STATEMENTS, _NO_OPERATORS), np.uint8)
    lengths = np.diff(np.flatnonzero(marks == ord(";")), prepend=-1, append=len(marks)) - 1
    longest = int(np.argmax(lengths))
    if lengths[longest] > limits.operators:
        message = f"one statement has {lengths[longest]:,} operators, more than {limits.operators:,}"
        raise error_at(code, _statement(code, longest), message)


def check_broadcasts(code: str, sizes: Mapping[str, int | str], limits: ParseLimits) -> None:
    """Refuse what a few gates on whole registers of the given sizes would grow to."""
    whole = Counter(_BARE_NAME.findall(_GATE_DEFINITION.sub("", code)))
    operations = sum(whole[name] * int(size) for name, size in sizes.items())
    if operations > limits.gates:
        raise CircuitError(
            f"gates on whole registers make {operations:,} operations, more than {limits.gates:,}"
        )


def gate_sizes(code: str, limits: ParseLimits) -> dict[str, int]:
    """How many operations each gate that is defined in ``code`` is when written out.

    A bound from above: names in a body that happen to be names of gates count as uses.
    """
    sizes: dict[str, int] = {}
    for found in _GATE_DEFINITION.finditer(code):
        name, body = found[1], found[2] or ""
        uses = Counter(_NAME.findall(body))
        sizes[name] = body.count(";") + sum(uses[n] * sizes[n] for n in uses.keys() & sizes.keys())
        if sizes[name] > limits.gates:
            message = f"gate {name!r} is {sizes[name]:,} gates when written out, more than {limits.gates:,}"
            raise error_at(code, found.start(), message)
    if len(sizes) > limits.definitions:
        raise CircuitError(f"{len(sizes):,} gates are defined, more than {limits.definitions:,}")
    return sizes


def shorten(message: str) -> str:
    return message if len(message) < 400 else f"{message[:200]} ... {message[-100:]}"


def _bracket(code: str, number: int) -> int:
    return _nth(r"[()\[\]{}]", code, number).start()


def _statement(code: str, number: int) -> int:
    start = _nth(r"[;{}]", code, number - 1).end() if number else 0
    return start + len(code[start:]) - len(code[start:].lstrip())


def _nth(pattern: str, code: str, number: int) -> re.Match[str]:
    for found, match in enumerate(re.finditer(pattern, code)):
        if found == number:
            return match
    raise ValueError(f"{pattern} does not stand {number} times in the text")
