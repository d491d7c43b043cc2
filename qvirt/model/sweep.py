"""Sets of values for the free parameters of one circuit."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from qvirt.errors import UsageError
from qvirt.model.wire import to_json

MAX_ROWS = 100_000
MAX_VALUES = 1_000_000
"""In all rows: what an order has room for beside its circuit."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One row a set: the values of the parameters in the order of ``names``."""

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not self.names or not self.rows:
            raise UsageError("a sweep needs the names of parameters and at least one row of values")
        if len(set(self.names)) < len(self.names):
            raise UsageError("a parameter of the sweep is named twice")
        check_size(len(self.names), len(self.rows))
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.names) or not all(map(math.isfinite, row)):
                raise UsageError(f"row {number} of the sweep is not {len(self.names)} finite numbers")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(to_json(self)).hexdigest()

    @property
    def octets(self) -> int:
        """About as many as it takes on its way."""
        return 20 * len(self.names) * len(self.rows)


def check_size(names: int, rows: int) -> None:
    """Raises UsageError where so many rows are too many."""
    most = min(MAX_ROWS, MAX_VALUES // names)
    if rows > most:
        raise UsageError(
            f"there are more than {most:,} rows of {names} parameters",
            hint="split them into several files",
        )
