"""Times, durations and tables as plain text. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_AGES = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
)
"""Up to how many seconds: the unit, its letter, and a smaller unit that is shown beside it unless it is 0."""


def age(since: datetime, now: datetime) -> str:
    """A span as kubectl writes ages: 95s, 3m12s, 14m, 7h5m, 30h, 3d4h, 12d."""
    whole = max(0, int((now - since).total_seconds()))
    for limit, size, letter, small_size, small_letter in _AGES:
        if whole < limit:
            small = whole % size // small_size if small_size else 0
            return f"{whole // size}{letter}" + (f"{small}{small_letter}" if small else "")
    return f"{whole // _DAY}d"


def seconds(duration: float) -> str:
    """A duration with the digits that matter: 4 ms, 0.35 s, 12.8 s, 3m05s."""
    if duration < 0.1:
        return f"{duration * 1000:.0f} ms"
    if duration < 60:
        return f"{duration:.2f} s" if duration < 10 else f"{duration:.1f} s"
    return f"{int(duration // 60)}m{int(duration % 60):02d}s"


def columns(headers: Sequence[str], rows: Sequence[Sequence[str]], gap: int = 3) -> list[str]:
    """Lines with the columns aligned, `gap` blanks between them; kubectl prints three."""
    table = (headers, *rows)
    widths = [max(len(row[i]) for row in table) for i in range(len(headers))]
    lines = ((gap * " ").join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return [line.rstrip() for line in lines]
