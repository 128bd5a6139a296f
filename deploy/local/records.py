"""Finds the records of processes in a folder, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from deploy.local.process import RunningProcess


def records(folder: Path) -> list[RunningProcess]:
    """The processes recorded in `folder` and below; files that are no such record are passed over."""
    found = (_record(path) for path in sorted(folder.rglob("*.json")))
    return [process for process in found if process]


def _record(path: Path) -> RunningProcess | None:
    try:
        return RunningProcess.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
