"""Where the amplitudes are kept."""

from __future__ import annotations


def device() -> str:
    """torch's name of it."""
    return "cpu"
