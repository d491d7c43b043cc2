"""Lists as plain columns, as `docker ps` has them: nothing to load, easy to cut and grep."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def columns(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), *, upper: bool = True
) -> str:
    """One line a row; the columns named in ``right`` are flush right. ``upper``: a header in capitals."""
    lines = [[name.upper() for name in header] if upper else header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ends = [name in right for name in header]
    return "\n".join(
        "   ".join(
            cell.rjust(width) if end else cell.ljust(width)
            for cell, width, end in zip(line, widths, ends, strict=True)
        ).rstrip()
        for line in lines
    )


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
