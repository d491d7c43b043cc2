"""The cost constants of this machine, fitted by measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """``constants[key][name]``: key is ``engine/method/precision``; the engine gives the names their meaning.

    ``error`` is, for each key, the factor within which nine of ten of the measured times lay. Times
    were taken with ``threads`` threads; ``machine`` and ``versions`` say for what they hold.
    """

    machine: str
    versions: dict[str, str]
    threads: int
    measured: float
    constants: dict[str, dict[str, float]]
    error: dict[str, float]
