"""The files that the shim keeps of each run of a container. They are the only record, so a new agent finds all."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from deploy.local.node.container_state import ContainerRecord, Running, Terminated, Waiting, crashes_after
from deploy.local.node.pids import ProcessId
from services.contracts.base import Contract

UNKNOWN = "ContainerStatusUnknown"
KILLED = 137


class RunRecord(Contract):
    """run.json: who runs. No process: it could not be started, or has ended before it was looked at."""

    shim: ProcessId
    process: ProcessId | None = None
    crashes: int = 0
    started_at: datetime

    @property
    def container_id(self) -> str:
        """As Kubernetes names containers: the runtime, then an id."""
        one = self.process or self.shim
        return f"process://{one.pid}-{one.start_ticks}"


class ExitRecord(Contract):
    """exit.json: how it ended."""

    exit_code: int
    signal: int = 0
    reason: str
    message: str = ""
    finished_at: datetime


class RunDir:
    """One run of a container: `containers/<name>/<number>`, numbered from 0 like restartCount."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.folder = folder / str(number)
        self.log = self.folder / "log"

    def run_record(self) -> RunRecord | None:
        """Who runs, or ran; None when the shim never got so far."""
        try:
            return RunRecord.model_validate_json((self.folder / "run.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def terminated(self, now: datetime) -> Terminated:
        """How the run ended. Without word from the shim it was killed, and the time is `now`."""
        run = self.run_record()
        try:
            ended = ExitRecord.model_validate_json((self.folder / "exit.json").read_bytes())
        except (OSError, ValidationError):
            message = "the process that kept the container was killed, and the container with it"
            ended = ExitRecord(exit_code=KILLED, signal=9, reason=UNKNOWN, message=message, finished_at=now)
        return Terminated(
            exit_code=ended.exit_code,
            signal=ended.signal,
            reason=ended.reason,
            message=ended.message,
            finished_at=ended.finished_at,
            started_at=run.started_at if run else None,
            container_id=run.container_id if run else "",
        )


def runs(folder: Path) -> list[RunDir]:
    """The runs of a container that are still on disk, oldest first. Those the shim never took up do not count."""
    numbers = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
    found = [RunDir(folder, number) for number in numbers]
    return [run for run in found if run.run_record()]


def forget_old_runs(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest runs: Kubernetes can only ask for this one's and the previous one's log."""
    for run in runs(folder)[:-keep]:
        shutil.rmtree(run.folder, ignore_errors=True)


def recorded_state(name: str, folder: Path, now: datetime) -> ContainerRecord:
    """What the files say about a container."""
    history = runs(folder)
    if not history:
        return ContainerRecord(name, Waiting())
    latest = history[-1]
    run = latest.run_record()
    last = history[-2].terminated(now) if len(history) > 1 else None
    record = ContainerRecord(name, last=last, restarts=latest.number, container_id=run.container_id if run else "")
    if run and run.shim.is_alive():
        return record._replace(state=Running(run.started_at), crashes=run.crashes)
    ended = latest.terminated(now)
    return record._replace(state=ended, crashes=crashes_after(run.crashes if run else 0, ended))
