"""Looks at, stops and starts single processes of what `up` started: to see what the others do without them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.answering import problem
from deploy.local.process import RunningProcess, alive, terminate
from deploy.local.state import StateError
from deploy.local.supervised import Supervised, read_list, turn, write_list


class Seen(NamedTuple):
    """One process now. `pid` is None where it does not run; `problem` is what keeps it from serving."""

    name: str
    pid: int | None
    paused: bool
    problem: str | None
    log: Path


def look(folder: Path) -> list[Seen]:
    """All processes in the order in which they start. Raises StateError where nothing was started."""
    return [_look(item) for item in _listed(folder)]


def _look(item: Supervised) -> Seen:
    process = alive(item.spec.name, item.run_folder)
    trouble = problem(item.spec) if process else "it does not run"
    return Seen(item.spec.name, process.pid if process else None, item.paused, trouble, item.spec.log_path)


def pause(folder: Path, names: Sequence[str]) -> None:
    """End processes, and keep the supervisor from starting them. Raises StateError and ProcessError."""
    with turn(folder, lambda: None):
        marked = _mark(folder, names, paused=True)
        asyncio.run(_end([alive(item.spec.name, item.run_folder) for item in marked]))


async def _end(processes: Sequence[RunningProcess | None]) -> None:
    await asyncio.gather(*(terminate(process) for process in processes if process))


def resume(folder: Path, names: Sequence[str]) -> None:
    """Let the supervisor start processes again. Raises StateError."""
    with turn(folder, lambda: None):
        _mark(folder, names, paused=False)


def _mark(folder: Path, names: Sequence[str], *, paused: bool) -> list[Supervised]:
    items = _listed(folder)
    known = [item.spec.name for item in items]
    if unknown := [name for name in names if name not in known]:
        raise StateError(f"There is no process {unknown[0]}. There are: {', '.join(known)}.")
    marked = [i.model_copy(update={"paused": paused}) if i.spec.name in names else i for i in items]
    write_list(folder, marked)
    return [item for item in marked if item.spec.name in names]


def _listed(folder: Path) -> Sequence[Supervised]:
    if items := read_list(folder):
        return items
    raise StateError("Nothing was started on this machine. Start all with `kaitobus up`.")
