"""OpenQASM 3 source as a stream of parsed statements.

The reference parser takes 0.3 ms a statement. Statements of the same form (equal but for the numbers in
them) are parsed once: the tree of the first is given out again with the numbers of the next, so it must
be used before the next statement is asked for. Bodies of gate definitions are streamed in the same way.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import openqasm3
from openqasm3 import ast
from openqasm3.parser import QASM3ParsingError

from qvirt.circuits.text import error_at
from qvirt.errors import CircuitError

_MARK = re.compile(r'"[^"\n]*"|[;{}()\[\]]')
_GOES_ON = re.compile(r"\s*(?:else\b|[{,)\]])")
_GATE = re.compile(r"gate\s+[^{};]*\{")
_NUMBER = re.compile(r'(?<![\w.$"])((?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)(?![\w.])')
_LEXER_ERROR = re.compile(r"L(\d+):C(\d+): (.*)", re.DOTALL)
_REUSABLE = (
    ast.QuantumGate,
    ast.QuantumMeasurementStatement,
    ast.QuantumReset,
    ast.QuantumBarrier,
    ast.QuantumPhase,
    ast.BranchingStatement,
)
_ONE_MORE = 3
"""Into how many pieces a statement may have been cut too early: ``for int i in {1, 2} x q;`` in two."""

_Statement = ast.Statement | ast.Pragma
_Literal = ast.IntegerLiteral | ast.FloatLiteral


@dataclass(slots=True)
class Statements:
    """``code`` has no comments. ``start`` is where the statement given out last begins."""

    code: str
    start: int = 0
    _forms: dict[tuple[str, ...], tuple[_Statement, list[_Literal]] | None] = field(default_factory=dict)

    def __iter__(self) -> Iterator[_Statement]:
        return self._between(0, len(self.code))

    def _between(self, start: int, end: int) -> Iterator[_Statement]:
        pieces = _pieces(self.code, start, end)
        for piece_start, piece_end in pieces:
            self.start = piece_start
            header = _GATE.match(self.code, piece_start, piece_end)
            if header is None:
                yield from self._parsed(piece_start, piece_end, pieces)
                continue
            gate: Any = _parse(self.code, piece_start, header.end(), closing="}")[0]
            gate.body = self._between(header.end(), piece_end - 1)
            yield gate

    def _parsed(self, start: int, end: int, more: Iterator[tuple[int, int]]) -> list[_Statement]:
        texts = _NUMBER.split(self.code[start:end])
        numbers = texts[1::2]
        kinds = "".join("i" if number.isdigit() else "f" for number in numbers)
        form = (kinds, *texts[::2])
        known = self._forms.get(form)
        if known is not None:
            statement, literals = known
            for literal, number in zip(literals, numbers, strict=True):
                literal.value = _value(number)
            return [statement]
        statements = self._parse_on(start, end, more)
        if form not in self._forms:
            self._forms[form] = _reusable(statements, [_value(number) for number in numbers])
        return statements

    def _parse_on(self, start: int, end: int, more: Iterator[tuple[int, int]]) -> list[_Statement]:
        try:
            return _parse(self.code, start, end)
        except CircuitError as error:
            for _, further in islice(more, _ONE_MORE):
                with contextlib.suppress(CircuitError):
                    return _parse(self.code, start, further)
            raise error


def _value(number: str) -> int | float:
    return int(number) if number.isdigit() else float(number)


def _pieces(code: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends: after its ``;`` or its last closing brace."""
    braces = brackets = 0
    begin = _skip_blank(code, start)
    for mark in _MARK.finditer(code, start, end):
        sign = mark[0]
        if sign in "([":
            brackets += 1
        elif sign in ")]":
            brackets -= 1
        elif brackets == 0 and sign in "{};":
            braces += {"{": 1, "}": -1, ";": 0}[sign]
            if braces <= 0 and sign != "{" and not _GOES_ON.match(code, mark.end(), end):
                yield begin, mark.end()
                begin = _skip_blank(code, mark.end())
                braces = 0
    if begin < end and code[begin:end].strip():
        yield begin, end


def _skip_blank(code: str, start: int) -> int:
    while start < len(code) and code[start].isspace():
        start += 1
    return start


def _parse(code: str, start: int, end: int, closing: str = "") -> list[_Statement]:
    try:
        # The parser reports to standard error as well.
        with contextlib.redirect_stderr(io.StringIO()):
            return list(openqasm3.parse(code[start:end] + closing).statements)
    except QASM3ParsingError as error:
        raise _syntax_error(code, start, end, error) from None
    except RecursionError:
        raise error_at(code, start, "this statement is nested too deeply") from None
    except Exception as error:
        raise error_at(
            code, start, f"the parser failed: {str(error).partition(';')[0] or type(error).__name__}"
        ) from error


def _syntax_error(code: str, start: int, end: int, error: QASM3ParsingError) -> CircuitError:
    if found := _LEXER_ERROR.match(str(error)):
        line, column, message = int(found[1]), int(found[2]), found[3]
        return error_at(code, _offset(code, start, line, column), message)
    cause: Any = error.__cause__
    inner = cause.args[0] if cause is not None and cause.args else cause
    token = getattr(inner, "offendingToken", None)
    if token is None:
        return error_at(code, start, "this is not a statement of OpenQASM 3")
    offset = _offset(code, start, token.line, token.column)
    if token.text == "<EOF>" or offset >= end:
        return error_at(
            code, start, "this statement does not end", "is there a semicolon or a brace missing?"
        )
    return error_at(code, offset, f"{token.text!r} is not expected here")


def _offset(code: str, start: int, line: int, column: int) -> int:
    """Of a line (from 1) and a column (from 0) of the text that begins at ``start``."""
    for _ in range(line - 1):
        start = code.index("\n", start) + 1
    return start + column


def _reusable(
    statements: list[_Statement], values: list[int | float]
) -> tuple[_Statement, list[_Literal]] | None:
    """The statement with its number literals in the order of the text; None where they are not ``values``."""
    if len(statements) != 1 or not isinstance(statements[0], _REUSABLE):
        return None
    literals = sorted(_literals(statements[0]), key=_position)
    if [literal.value for literal in literals] != values:
        return None
    return statements[0], literals


def _position(node: _Literal) -> tuple[int, int]:
    return (node.span.start_line, node.span.start_column) if node.span else (0, 0)


def _literals(node: object) -> Iterator[_Literal]:
    if isinstance(node, (ast.IntegerLiteral, ast.FloatLiteral)):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _literals(item)
    elif isinstance(node, ast.QASMNode):
        for item in vars(node).values():
            yield from _literals(item)
