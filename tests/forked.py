"""Starts our programs as processes that are forked from one which has loaded them already.

To load a service takes more than a second of CPU time, and the tests start dozens of them. What runs is the module as
with `python -m`, in a session of its own, with its own environment; loading alone is shared. `kaitobus up`, and so
the engine tier, starts them as a user gets them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

LOADED = (
    "services.watcher.app",
    "services.scheduler.app",
    "services.provisioner.app",
    "services.deployer.app",
    "deploy.local.node.agent",
    "tests.forked",
)

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(LOADED))


def prepare() -> None:
    """Begin to load, and wait for nothing: the first fork waits until all is loaded."""
    forkserver.ensure_running()


def fork(argv: Sequence[str], environment: Mapping[str, str], log_path: Path) -> ForkServerProcess:
    """Start what `python -m MODULE ARGUMENTS` would, with that environment; its output is appended to the log.

    It is ended when this process ends in order, and lives on where that is killed.
    """
    _, option, module, *arguments = argv
    assert option == "-m", argv
    log_path.parent.mkdir(parents=True, exist_ok=True)
    process = _FORKS.Process(target=_run, args=(module, arguments, dict(environment), str(log_path)), daemon=True)
    process.start()
    return process


def _run(module: str, arguments: list[str], environment: dict[str, str], log_path: str) -> None:
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
