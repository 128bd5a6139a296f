"""One measured figure, and the table of all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Measured values and the goal for their 99th percentile, all in `unit`."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The value that 99 of 100 do not exceed (nearest rank); of fewer than 100 values the largest."""
        return sorted(self.values)[math.ceil(0.99 * len(self.values)) - 1]

    @property
    def ratio(self) -> float:
        """The 99th percentile as a share of the goal: met up to 1."""
        return self.p99 / self.goal


HEADER = ("figure", "n", "median", "p99", "goal", "p99/goal", "")


def table(figures: Sequence[Figure]) -> str:
    """The figures in aligned columns."""
    rows = [HEADER, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join("  ".join(_pad(c, w, i) for i, (c, w) in enumerate(zip(row, widths, strict=True))) for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    values = [f"{value:.4g} {figure.unit}" for value in (figure.median, figure.p99, figure.goal)]
    return (figure.name, str(len(figure.values)), *values, f"{figure.ratio:.2f}", "" if figure.ratio <= 1 else "missed")


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)
