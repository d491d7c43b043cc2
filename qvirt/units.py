"""Bytes and seconds as people write and read them."""

from __future__ import annotations

import math
import re

from qvirt.errors import UsageError

_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str) -> int:
    """``2g``, ``512 MiB``, ``1.5GB`` or plain bytes; powers of 1024 always, as Docker reads them."""
    match = re.fullmatch(r"([0-9.]+)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    value = _number(match[1]) if match else None
    if match is None or value is None or value * _BYTES[match[2]] < 1:
        raise UsageError(f"{text!r} is not an amount of memory", hint="write for example 512m, 2g or 1.5g")
    return int(value * _BYTES[match[2]])


def parse_seconds(text: str) -> float:
    """``90``, ``500ms``, ``5m``, ``2h``; always above zero."""
    match = re.fullmatch(r"([0-9.]+)\s*(ms|s|m|h|d)?", text.strip().lower())
    value = _number(match[1]) if match else None
    if match is None or not value:
        raise UsageError(
            f"{text!r} is not a time", hint="write more than 0, for example 10s, 500ms, 5m or 2h"
        )
    return value * _SECONDS[match[2] or ""]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def show_bytes(amount: float) -> str:
    """Three figures and a binary unit: ``1.50 GiB``; above the exbibyte a power of two."""
    if amount < 1024:
        return f"{amount:.0f} B"
    bits = math.log2(amount)
    exponent = min(int(bits) // 10, 6)
    if bits >= 10 * exponent + math.log2(10_000):  # asked first: what is larger may be no float
        return f"2^{bits:.0f} B"
    value = amount / 2 ** (10 * exponent)
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {'KMGTPE'[exponent - 1]}iB"


def show_seconds(seconds: float) -> str:
    """``850 µs``, ``12 ms``, ``3.4 s``, ``5 min 20 s``, ``7.2 h``, ``3 years``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.1f} h"
    if seconds < 2 * 365 * 86400:
        return f"{seconds / 86400:.0f} days"
    return f"{seconds / (365 * 86400):.3g} years"
