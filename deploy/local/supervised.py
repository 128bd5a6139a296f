"""What the supervisor looks after: a list on disk, written by `up`, and a lock that says whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from deploy.local.process import ProcessSpec
from deploy.local.state import write_private


class Supervised(BaseModel):
    """A process to keep running. With `with_environment` it inherits the whole environment of `up`.

    A `paused` one was stopped by a person and is left alone.
    """

    model_config = ConfigDict(frozen=True)

    spec: ProcessSpec
    run_folder: Path
    with_environment: bool = False
    paused: bool = False


_List = TypeAdapter(tuple[Supervised, ...])


def write_list(folder: Path, processes: Sequence[Supervised]) -> None:
    """Tell the supervisor what to keep running from now on, in the order in which it starts."""
    write_private(folder / "processes.json", _List.dump_json(tuple(processes), indent=2))


def read_list(folder: Path) -> tuple[Supervised, ...]:
    """What is to be kept running; nothing where no list is, or none that can be read."""
    try:
        return _List.validate_json((folder / "processes.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return ()


@contextmanager
def turn(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only one who starts and ends processes of this state folder; calls `waiting` if another is at it.

    The lock is the kernel's (flock), so it goes with the process that held it.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def turn_if_free(folder: Path) -> Iterator[bool]:
    """As `turn`, but never waits: False where another is at it."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
