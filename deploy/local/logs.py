"""The end of a log, in a form that a person reads."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

_BYTES = 64 * 1024
_LINES = 12
_WIDTH = 300


def log_tail(path: Path) -> str:
    """The last lines of a log, indented, and where the rest is."""
    try:
        with path.open("rb") as log:
            skipped = max(0, path.stat().st_size - _BYTES)
            log.seek(skipped)
            lines = log.read().decode(errors="replace").splitlines()[1 if skipped else 0 :]
    except FileNotFoundError:
        return f"It has written no log ({path})."
    last = squeezed([readable(line) for line in lines])[-_LINES:]
    return "\n".join(["The end of its log:", *(f"    {line}" for line in last), f"All of it: {path}"])


def readable(line: str) -> str:
    """A line of a log; one that is JSON as level, message and the error that was raised, without its traceback."""
    try:
        found: object = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "message" not in found:
        return line if len(line) <= _WIDTH else line[:_WIDTH] + " …"
    error = str(found.get("error") or found.get("traceback") or "").strip().rpartition("\n")[2]
    message = str(found["message"]).strip()
    last = [] if error.rpartition(": ")[2] in message else [error]
    return ": ".join([str(found.get("level", "info")), message, *last])


def squeezed(lines: list[str]) -> list[str]:
    """The lines, with those that repeat told once and counted."""
    counted = ((line, len(list(same))) for line, same in groupby(lines))
    return [line if count == 1 else f"{line} ({count} times)" for line, count in counted]
