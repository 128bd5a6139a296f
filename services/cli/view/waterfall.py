"""Draws a waterfall: a line a step, its bar on a common time axis, when it began and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.cli.view.text import seconds
from services.cli.waterfall import Span

BLOCKS = " ▏▎▍▌▋▊▉█"
"""A character cell filled from the left by eighths."""

RIGHT_BLOCKS = " ▕▐█"
"""The same from the right, as far as Unicode has them: nothing, an eighth, a half, all."""

STYLES = {
    "workspace": "bold",
    "watcher": "cyan",
    "scheduler": "magenta",
    "provisioner": "yellow",
    "deployer": "green",
}
"""Colours by service."""

GAP = "  "
"""Between label, bar and figures."""

_MIN_BAR = 12
_MIN_LABEL = 12
_MAX_LABEL = 52


class Line(NamedTuple):
    """One line of the picture, in parts that are coloured apart."""

    label: str
    bar: str
    figures: str
    service: str


def lines(found: Sequence[Span], width: int, now: datetime) -> list[Line]:
    """The picture of `found` in `width` columns. What still goes on is drawn up to `now`."""
    if not found:
        return []
    origin = found[0].start
    total = max(((span.end or now) - origin for span in found), default=timedelta()).total_seconds() or 0.001
    labels = [_label(span) for span in found]
    figures = [_figures(span, origin, now) for span in found]
    rest = width - max(map(len, figures)) - len(GAP) * 2
    label_width = max(_MIN_LABEL, min(_MAX_LABEL, max(map(len, labels)), rest - _MIN_BAR))
    bar_width = max(_MIN_BAR, rest - label_width)
    return [
        Line(label[:label_width].ljust(label_width), bar(span, origin, total, bar_width, now), figure, span.service)
        for span, label, figure in zip(found, labels, figures, strict=True)
    ]


def bar(span: Span, origin: datetime, total: float, width: int, now: datetime) -> str:
    """The bar of one step: `width` cells for `total` seconds from `origin`; never empty, so that all is seen."""
    scale = width / total
    start = min((span.start - origin).total_seconds() * scale, width - 0.125)
    end = min(max(((span.end or now) - origin).total_seconds() * scale, start + 0.125), width)
    cells = [_cell(index, max(start, 0.0), end) for index in range(width)]
    return "".join(cells)


def _cell(index: int, start: float, end: float) -> str:
    """The character of one cell: filled from the left where a bar ends, from the right where one begins."""
    covered = min(end, index + 1) - max(start, index)
    if covered <= 0:
        return " "
    if covered >= 1:
        return BLOCKS[-1]
    if end > index + 1:
        return RIGHT_BLOCKS[round(covered * (len(RIGHT_BLOCKS) - 1))]
    return BLOCKS[max(1, round(covered * 8))]


def _label(span: Span) -> str:
    name = span.name if span.depth != 1 else f"{span.service} {span.name}"
    return "  " * span.depth + name + (f" · {span.detail}" if span.detail else "")


def _figures(span: Span, origin: datetime, now: datetime) -> str:
    offset = max(0.0, (span.start - origin).total_seconds())
    duration = max(0.0, ((span.end or now) - span.start).total_seconds())
    return f"{'+' + seconds(offset):>9} {seconds(duration):>8}{'' if span.end else ' …'}"
