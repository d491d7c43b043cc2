"""The circuit files that a user named, read and not yet looked into."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from qvirt.errors import UsageError
from qvirt.model.circuit import CircuitSource
from qvirt.units import show_bytes

MAX_BYTES = 32 << 20
SUFFIXES = frozenset({".qasm", ".qasm2", ".qasm3", ".json", ".qpy"})


def read(names: Iterable[str]) -> list[CircuitSource]:
    """Every circuit in the order named; folders and globs in alphabetical order. Raises UsageError."""
    return [_standard_input() if name == "-" else _read(path) for name, path in _expand(names)]


def _expand(names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    seen_standard_input = False
    for name in names:
        path = Path(name)
        if name == "-":
            if seen_standard_input:
                raise UsageError("standard input can be read only once")
            seen_standard_input = True
            yield name, path
        elif path.is_dir():
            inside = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
            if not inside:
                raise UsageError(f"no circuits in {name}", hint=f"looked for {', '.join(sorted(SUFFIXES))}")
            yield from (("", entry) for entry in inside)
        elif path.exists():
            yield name, path
        elif matches := sorted(glob.glob(name)):
            yield from (("", Path(match)) for match in matches)
        else:
            raise UsageError(f"there is no file {name}")


def _read(path: Path) -> CircuitSource:
    try:
        with path.open("rb") as file:
            return CircuitSource(str(path), _bounded(file, str(path)))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _standard_input() -> CircuitSource:
    if sys.stdin.isatty():
        sys.stderr.write("reading a circuit from the terminal: end it with Ctrl-D\n")
    return CircuitSource("<stdin>", _bounded(sys.stdin.buffer, "standard input"))


def _bounded(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name} is larger than {show_bytes(MAX_BYTES)}", hint="is it a circuit?")
    return data
