"""`python -m deploy.local.supervisor FOLDER`: starts what is on the list of a state folder, and again when it dies.

Meanwhile it keeps their logs from growing without end.
It keeps nothing in memory that matters. Killed and started again, it finds the processes by their records.
While `up` or `down` holds the folder's lock it starts nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.logs import bound_log
from deploy.local.process import ProcessError, ProcessSpec, alive, spawn
from deploy.local.restarts import Restarts
from deploy.local.supervised import Supervised, read_list, turn_if_free

LOOK_EVERY = 0.25
"""Seconds."""

PR_SET_CHILD_SUBREAPER = 36
"""From prctl(2): orphans below this process become its children, so that it can reap them."""


def main() -> None:
    """Keep the processes of the folder in `sys.argv` running until SIGTERM; they live on after it."""
    folder, stop = Path(sys.argv[1]), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = Keeper(folder)
    _log("looking after", folder=str(folder))
    while not stop.wait(LOOK_EVERY) and folder.is_dir():
        _reap()
        with turn_if_free(folder) as free:
            if free:
                keeper.look()
        keeper.bound_logs()


class Keeper:
    """Compares the list with what lives, and starts what is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._restarts: dict[str, Restarts] = {}

    def look(self) -> None:
        """Look at every process once."""
        for item in read_list(self._folder):
            if item.paused:
                self._restarts.pop(item.spec.name, None)
                continue
            known = self._restarts.get(item.spec.name, Restarts())
            self._restarts[item.spec.name] = self._keep(item, known, time.monotonic())

    def bound_logs(self) -> None:
        """Cut the logs that have grown too long, its own among them."""
        logs = {item.spec.log_path for item in read_list(self._folder)}
        for path in logs.union((self._folder / "logs").glob("*.log")):
            try:
                bound_log(path)
            except OSError as error:
                _log("a log cannot be cut", path=str(path), reason=str(error))

    def _keep(self, item: Supervised, known: Restarts, now: float) -> Restarts:
        if alive(item.spec.name, item.run_folder):
            return known if known.started_at is not None else known.started(now)
        known = known.died(now)
        if now < known.due:
            return known
        try:
            process = spawn(_with_environment(item), item.run_folder)
        except ProcessError as error:
            _log(str(error), name=item.spec.name)
            return known.started(now)  # so that the next look counts as a death, with its pause
        _log("started", name=item.spec.name, pid=process.pid, deaths=known.deaths)
        return known.started(now)


def _with_environment(item: Supervised) -> ProcessSpec:
    if not item.with_environment:
        return item.spec
    return item.spec.model_copy(update={"env": {**os.environ, **item.spec.env}})


def _reap() -> None:
    """Let go of children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _log(message: str, **extra: object) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "logger": "supervisor", "message": message}
    sys.stderr.write(json.dumps(line | extra) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
