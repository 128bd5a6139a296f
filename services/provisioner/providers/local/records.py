"""The records of the local machines: one JSON file each. They are the cloud's own memory, so to speak."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from services.contracts.base import Contract
from services.contracts.errors import Failure
from services.provisioner.provider import Instance, InstanceSpec, InstanceState


class ProcessId(Contract):
    """A process that cannot be taken for another: pids are used again, start times (in ticks since boot) are not."""

    pid: int
    start_ticks: int
    boot_id: str


class Record(Contract):
    """One machine, with the GPUs that go with it.

    `crashes` counts the agent's deaths in a row, `start_at` is when it may be started again.
    """

    spec: InstanceSpec
    gpus: int = 0
    created_at: datetime
    launched_at: datetime | None = None
    started_at: datetime | None = None
    agent: ProcessId | None = None
    crashes: int = 0
    start_at: datetime | None = None
    failure: Failure | None = None
    deleting: bool = False
    told_to_end_at: datetime | None = None

    def with_(self, **changes: object) -> Record:
        """The record with some fields changed."""
        return self.model_copy(update=changes)

    def instance(self) -> Instance:
        """As the loop sees it."""
        return Instance(
            id=self.spec.name,
            name=self.spec.name,
            owner=self.spec.owner,
            instance_type=self.spec.instance_type,
            created_at=self.created_at,
            launched_at=self.launched_at,
            state=self._state(),
            detail="is starting its node agent",
            failure=self.failure,
            node_name=self.spec.name if self.launched_at else None,
        )

    def _state(self) -> InstanceState:
        if self.deleting:
            return InstanceState.DELETING
        if self.failure:
            return InstanceState.FAILED
        return InstanceState.RUNNING if self.launched_at else InstanceState.CREATING


class Records:
    """The folder of records. Blocks: call it from a thread."""

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir.expanduser().absolute()
        self._folder = self._state / "instances"

    def node_dir(self, name: str) -> Path:
        """Where the machine's agent keeps what it needs."""
        return self._state / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes on this machine out. Held for moments only."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._state / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def all(self) -> list[Record]:
        """Every record, by name. One that cannot be read is left out: it is never written by halves."""
        return [r for path in sorted(self._folder.glob("*.json")) if (r := _read(path))]

    def read(self, name: str) -> Record | None:
        """One record, if it is there."""
        return _read(self._path(name))

    def write(self, record: Record) -> Record:
        """Write a record whole or not at all, readable for this user alone; returns it."""
        draft = self._folder / f".{record.spec.name}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(record.to_json())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path(record.spec.name))
        return record

    def remove(self, record: Record) -> None:
        """Forget a machine and all that its agent left; the record goes last."""
        shutil.rmtree(self.node_dir(record.spec.name), ignore_errors=True)
        self._path(record.spec.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
