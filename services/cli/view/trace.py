"""Shows a trace: as a waterfall for a person, as JSON for a program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from services.cli.history import Life
from services.cli.view.console import make_console, print_json
from services.cli.view.waterfall import GAP, STYLES, lines
from services.cli.waterfall import Span
from services.contracts.identity import trace_id

PIPE_WIDTH = 120
"""Columns where there is no terminal to ask."""


def show_trace(life: Life, found: Sequence[Span]) -> None:
    """Print the waterfall in the terminal's width."""
    console = make_console()
    width = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if console.is_terminal else _pipe_width()
    console.print(f"trace {trace_id(life.uid, life.generation):032x}", style="dim")
    for line in lines(found, width, datetime.now(UTC)):
        style = STYLES.get(line.service, "")
        console.print(Text.assemble((line.label, style), GAP, (line.bar, style), GAP, line.figures))


def _pipe_width() -> int:
    return int(os.environ.get("COLUMNS") or PIPE_WIDTH)


def print_trace(life: Life, found: Sequence[Span]) -> None:
    """Print trace id and spans as JSON; times are UTC, durations and offsets seconds."""
    origin = found[0].start if found else datetime.now(UTC)
    print_json(
        {
            "traceId": f"{trace_id(life.uid, life.generation):032x}",
            "uid": life.uid,
            "generation": life.generation,
            "spans": [_span(span, origin) for span in found],
        }
    )


def _span(span: Span, origin: datetime) -> dict[str, object]:
    values = span.to_dict()
    values["offsetSeconds"] = round((span.start - origin).total_seconds(), 6)
    values["durationSeconds"] = round((span.end - span.start).total_seconds(), 6) if span.end else None
    return values
