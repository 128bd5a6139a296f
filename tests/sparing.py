"""Processes that take less CPU time than a user's, for tests that start many of them on few cores."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.local.process import ProcessSpec, environment_of, record, spawn
from tests.forked import fork

SPARING = {"GOGC": "200", "GOMAXPROCS": "1"}
"""For programs in Go: each takes less CPU time if it seldom looks for garbage, and keeps to one core."""


def spawn_sparing(spec: ProcessSpec, run_folder: Path) -> None:
    """Start and record a service or nats-server. A service is recorded when it runs already, unlike with `spawn`."""
    if spec.argv[0] != sys.executable:
        spawn(spec.model_copy(update={"env": spec.env | SPARING}), run_folder)
        return
    run_folder.mkdir(parents=True, exist_ok=True)
    pid = fork(spec.argv, environment_of(spec), spec.log_path).pid
    assert pid is not None
    record(spec, pid, run_folder)
