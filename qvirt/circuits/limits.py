"""How large a circuit file may be: checked before any parser sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """``gates`` counts what is left once gate definitions and loops are written out.

    ``nesting`` is the depth of brackets, ``operators`` their number and that of arithmetic signs in one
    statement: both become recursion in a parser. ``definitions`` is the number of gate definitions.
    """

    bytes: int = 32 << 20
    qubits: int = 100_000
    clbits: int = 1_000_000
    nesting: int = 200
    operators: int = 1_000
    statements: int = 5_000_000
    definitions: int = 5_000
    gates: int = 5_000_000
