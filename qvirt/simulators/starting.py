"""Reading the state that a circuit begins in, which may be a mapped file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
"""Amplitudes that are read at a time."""


def blocks(
    start: NDArray[np.complexfloating], size: int = BLOCK
) -> Iterator[tuple[int, NDArray[np.complexfloating]]]:
    """Where each begins, and a copy of it. What was read of a file does not stay in memory."""
    mapped = getattr(start, "_mmap", None)
    for first in range(0, len(start), size):
        yield first, np.array(start[first : first + size])
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def copied(start: NDArray[np.complexfloating], kind: type[np.complexfloating]) -> NDArray[Any]:
    """All of it, as ``kind``."""
    state = np.empty(len(start), kind)
    for first, block in blocks(start):
        state[first : first + len(block)] = block
    return state
