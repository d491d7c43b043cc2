"""Prints the largest files and functions of qvirt; exits with 1 where one has outgrown its limit."""

# ruff: noqa: T201 - printing is what it is for
from __future__ import annotations

import ast
import sys
from pathlib import Path

LIMITS = {"file": 400, "function": 60}
SHOWN = 5


def files(root: Path) -> list[tuple[int, str]]:
    return [(len(path.read_text("utf-8").splitlines()), str(path)) for path in root.rglob("*.py")]


def functions(root: Path) -> list[tuple[int, str]]:
    return [
        (node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}")
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]


def main() -> int:
    too_large = 0
    root = Path("qvirt")
    for kind, found in (("file", files(root)), ("function", functions(root))):
        print(f"largest {kind}s, in lines (limit {LIMITS[kind]})")
        for lines, name in sorted(found, reverse=True)[:SHOWN]:
            print(f"  {lines:4} {name}")
        grown = [name for lines, name in found if lines > LIMITS[kind]]
        too_large += len(grown)
        for name in grown:
            print(f"  too large: {name}")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
