"""Which checkpoint a run goes on from. Without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

STATE: Final = "trainer_state.json"
"""What is written last of a checkpoint."""


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; one that was cut short is not gone on from."""
    found = [path for path in folder.glob("checkpoint-*") if _step(path) is not None and _is_whole(path)]
    return max(found, key=lambda path: _step(path) or 0, default=None)


def _step(path: Path) -> int | None:
    text = path.name.rpartition("-")[2]
    return int(text) if text.isdecimal() else None


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads((path / STATE).read_text()), dict)
    except (OSError, ValueError):
        return False
