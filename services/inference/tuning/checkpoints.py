"""Which checkpoint a run goes on from, and whose they are. Without PyTorch.

They lie in the pod's own volume, or in that of the result, where they outlive the pod: then in a folder named by all
that makes a training what it is, so that nobody goes on from another one's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Final

from services.inference.tuning.failure import TuningError
from services.inference.tuning.files import write_whole
from services.tuning.exit_codes import ExitCode

STATE: Final = "trainer_state.json"
"""What is written last of a checkpoint."""
_OWNER: Final = "owner"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; one that was cut short is not gone on from."""
    found = [path for path in folder.glob("checkpoint-*") if _step(path) is not None and _is_whole(path)]
    return max(found, key=lambda path: _step(path) or 0, default=None)


def folder_of_run(home: Path, *parts: object) -> Path:
    """The folder in `home` for a training made of these parts. Those of other trainings there are removed."""
    text = json.dumps(parts, sort_keys=True, default=str)
    wanted = home / hashlib.sha256(text.encode()).hexdigest()[:16]
    for path in home.glob("*"):
        if path != wanted:
            shutil.rmtree(path, ignore_errors=True)
    return wanted


class Owner:
    """Of two processes that write to one folder the later one owns it: the other may be on a node that is lost."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _OWNER
        self._mark = secrets.token_hex(8)

    def take(self) -> None:
        """Own the folder from now on."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._file, self._mark)

    def check(self) -> None:
        """Raises TuningError where somebody else owns it now."""
        try:
            mark = self._file.read_text()
        except FileNotFoundError:
            mark = ""
        if mark != self._mark:
            raise TuningError("Another pod goes on with this run, so this one ends.", ExitCode.PASSES)


def _step(path: Path) -> int | None:
    text = path.name.rpartition("-")[2]
    return int(text) if text.isdecimal() else None


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads((path / STATE).read_text()), dict)
    except (OSError, ValueError):
        return False
