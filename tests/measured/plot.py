"""The plot of `docs/sizing.svg`: the error of the predicted tokens of cache, ours and KAITO's, a line a start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tests.measured.kaito import kaito_tokens
from tests.measured.rows import Measured, predicted

LEFT, RIGHT, TOP, STEP, WIDTH = 330, 30, 60, 22, 900
LEAST, MOST = -100.0, 60.0
"""Errors that the axis shows, in percent; what is beyond is drawn at its end, with its number."""


def plot(rows: Sequence[Measured]) -> str:
    """The picture as SVG, readable on light and dark ground."""
    height = TOP + STEP * len(rows) + 30
    body = "\n".join([*_axis(rows), *(mark for index, row in enumerate(rows) for mark in _line(index, row))])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11">\n<rect width="{WIDTH}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _axis(rows: Sequence[Measured]) -> Iterator[str]:
    yield _text(10, 20, "Tokens of cache: predicted against measured, vLLM 0.26", size=14)
    yield _dot(LEFT, 36, "#0a7d4b") + _text(LEFT + 10, 40, "this project")
    yield _square(LEFT + 110, 36, "#c2410c") + _text(LEFT + 120, 40, "KAITO 0.12's formula")
    bottom = TOP + STEP * len(rows)
    for percent in range(int(LEAST), int(MOST) + 1, 20):
        colour = "#444" if percent == 0 else "#ddd"
        yield f'<line x1="{_x(percent):.1f}" y1="{TOP - 8}" x2="{_x(percent):.1f}" y2="{bottom}" stroke="{colour}"/>'
        yield _text(_x(percent), bottom + 14, f"{percent:+d} %" if percent else "0", anchor="middle")


def _line(index: int, row: Measured) -> Iterator[str]:
    y = TOP + STEP * index + 6
    yield _text(LEFT - 8, y + 4, row.label, anchor="end")
    ours, theirs = (100 * (tokens / row.kv_tokens - 1) for tokens in (predicted(row).kv_tokens, kaito_tokens(row)))
    yield _square(_x(theirs), y, "#c2410c")
    if not LEAST <= theirs <= MOST:
        yield _text(_x(theirs) - 8, y + 4, f"{theirs:+.0f} %", anchor="end")
    yield _dot(_x(ours), y, "#0a7d4b")


def _x(percent: float) -> float:
    within = min(MOST, max(LEAST, percent))
    return LEFT + (within - LEAST) / (MOST - LEAST) * (WIDTH - LEFT - RIGHT)


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _square(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
