"""Logs of processes: kept from growing without end, and their ends in a form that a person reads."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from itertools import groupby
from pathlib import Path

_BYTES = 64 * 1024
_LINES = 12
_WIDTH = 300
LIMIT = 16 * 1024**2
"""Bytes of a log. As much again may lie in its predecessor."""


def bound_log(path: Path, limit: int = LIMIT) -> None:
    """Move what a log of more than `limit` bytes holds to `<name>.1`, in the place of what that held.

    The process that writes it needs not know: it appends (O_APPEND), so it goes on at the new end. A line that it
    writes just between the copy and the cut is lost. Raises OSError when the disk is full; the log stays then.
    """
    with suppress(FileNotFoundError):
        if path.stat().st_size <= limit:
            return
        draft = path.with_name(f".{path.name}.draft")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        shutil.copyfile(path, draft)
        draft.rename(path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


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
