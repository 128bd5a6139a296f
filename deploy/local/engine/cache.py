"""Where the engine's environment and the models are kept, and who may build there at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str], None]
"""Told one line of plain text about what goes on now."""


class EngineSetupError(RuntimeError):
    """The engine's environment or the model could not be made; the message says why and what to change."""


def cache_home() -> Path:
    """Return the user's cache folder of this project: `$XDG_CACHE_HOME/kaitobus`, else `~/.cache/kaitobus`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaitobus"


@contextmanager
def build_lock(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the right to build `target`; a second process waits here until the first is done.

    The lock is the kernel's (flock on a file beside the target), so it goes with the process that held it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{target.name} is being made by another process; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
