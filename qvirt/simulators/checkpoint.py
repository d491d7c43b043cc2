"""Where a program stands, as it leaves one process and enters another.

An engine gives and takes only this; which circuit, engine and seed it belongs to is written and checked
once for all of them, in checkpoint_file.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qvirt.errors import EngineFailed, Unsupported

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined,unused-ignore]

CHUNK = 16 << 20
"""Octets of a chunk at most: what reading and writing take beside the state."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a program stands.

    ``header`` is small and can be written as JSON. ``chunks`` are the bulk, at most CHUNK octets each; they
    are read once and in order, and before the program goes on: they may be its own memory.
    """

    header: Mapping[str, Any]
    chunks: Iterable[bytes | memoryview]


def pieces(*states: Buffer) -> Iterator[memoryview]:
    """The octets of contiguous arrays, one after another, in chunks; nothing is copied."""
    for state in states:
        octets = memoryview(state).cast("B")
        for start in range(0, len(octets), CHUNK):
            yield octets[start : start + CHUNK]


def fill(chunks: Iterator[bytes | memoryview], *states: Buffer) -> None:
    """Read ``chunks`` into contiguous writable arrays, one after another.

    A chunk belongs to one array, as ``pieces`` gives them. Raises EngineFailed where there is too little;
    what follows is left in ``chunks``.
    """
    for state in states:
        octets = memoryview(state).cast("B")
        filled = 0
        while filled < len(octets):
            chunk = next(chunks, b"")
            if not chunk or filled + len(chunk) > len(octets):
                raise EngineFailed("a checkpoint does not have the size of the state that it is read into")
            octets[filled : filled + len(chunk)] = chunk
            filled += len(chunk)


def of_no_sweep() -> Unsupported:
    return Unsupported(
        "a sweep cannot be saved on its way", hint="split the rows into several files: each is a job"
    )
