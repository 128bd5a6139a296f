"""One container of a pod as a process: started, found again, told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from deploy.local.node import shim
from deploy.local.node.container_state import ContainerRecord, Running, Terminated, Waiting, crashes_after
from deploy.local.node.log_files import last_words
from deploy.local.node.run_files import RunDir, RunRecord, forget_old_runs, recorded_state, runs
from deploy.local.node.volumes import make_private_dir

KILL_LIMIT_S = 10.0
"""How long the kernel may take to end what was killed, before we stop waiting for it."""


class Command(NamedTuple):
    """What a container runs: everything is resolved and rewritten."""

    argv: list[str]
    env: dict[str, str]
    cwd: str


class ContainerProcess:
    """The runs of one container, of which at most one is alive. `on_change` is called when the record changes."""

    def __init__(self, name: str, folder: Path, on_change: Callable[[], None], *, log_as_message: bool = False) -> None:
        self.folder = folder
        self.record = ContainerRecord(name)
        self._on_change = on_change
        self._log_as_message = log_as_message
        self._run: RunDir | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._stopped.set()

    def adopt(self, *, started: bool, ready: bool) -> None:
        """Take over what an earlier agent has started. `started` and `ready`: what was known of it."""
        self.record = recorded_state(self.record.name, self.folder, datetime.now(UTC))
        if isinstance(self.record.state, Running):
            self._begin_watch(runs(self.folder)[-1])
            self._set(self.record._replace(started=started, ready=ready))

    @property
    def process_id(self) -> int | None:
        """The pid of the container's process while it runs."""
        run = self._run.run_record() if self._run and self.running else None
        return run.process.pid if run and run.process else None

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return isinstance(self.record.state, Running)

    def waits(self, waiting: Waiting) -> None:
        """Note why it does not run. How it ended before is kept."""
        ended = self.record.state if isinstance(self.record.state, Terminated) else self.record.last
        self._set(self.record._replace(state=waiting, last=ended))

    def set_started(self) -> None:
        """Note that its startup probe has passed, or that it has none."""
        self._set(self.record._replace(started=True))

    def set_ready(self, ready: bool) -> None:
        """Note what its readiness probe says."""
        self._set(self.record._replace(ready=ready))

    async def start(self, command: Command) -> None:
        """Start it and return once its process runs, or is known not to. Raises OSError if there is no room."""
        record = self.record
        history = runs(self.folder)
        run = RunDir(self.folder, history[-1].number + 1 if history else 0)
        make_private_dir(run.folder)
        await _run_shim(run, command, record.crashes)
        last = record.state if isinstance(record.state, Terminated) else record.last
        started = run.run_record()
        self._set(
            ContainerRecord(
                name=record.name,
                state=Running(started.started_at if started else datetime.now(UTC)),
                last=last,
                restarts=run.number,
                crashes=record.crashes,
                container_id=started.container_id if started else "",
            )
        )
        self._begin_watch(run)
        await asyncio.to_thread(forget_old_runs, self.folder)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM to its process group, SIGKILL when `grace_seconds` are over. Returns when it has ended."""
        self._signal(signal.SIGTERM)
        if not await self._has_stopped(grace_seconds):
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to its process group."""
        self._signal(signal.SIGKILL)
        await self._has_stopped(KILL_LIMIT_S)

    def let_go(self) -> None:
        """Stop looking after it; it runs on."""
        if self._watch:
            self._watch.cancel()

    async def _has_stopped(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), max(seconds, 0.0))
        return self._stopped.is_set()

    def _signal(self, number: int) -> None:
        run = self._run.run_record() if self._run else None
        if run and run.process:
            run.process.signal_group(number)

    def _begin_watch(self, run: RunDir) -> None:
        self._run = run
        self._stopped.clear()
        self._watch = asyncio.create_task(self._until_ended(run, run.run_record()))

    async def _until_ended(self, run: RunDir, record: RunRecord | None) -> None:
        if record:
            await record.shim.ended()
            if record.process:
                record.process.signal_group(signal.SIGKILL)  # Only if the shim was killed before it could.
        ended = run.terminated(datetime.now(UTC))
        if self._log_as_message and ended.exit_code != 0 and not ended.message:
            ended = ended._replace(message=await asyncio.to_thread(last_words, run.log))
        crashes = crashes_after(self.record.crashes, ended)
        self._stopped.set()
        self._set(self.record._replace(state=ended, crashes=crashes, started=False, ready=False))

    def _set(self, record: ContainerRecord) -> None:
        if record != self.record:
            self.record = record
            self._on_change()


async def _run_shim(run: RunDir, command: Command, crashes: int) -> None:
    """Start the shim, hand it the command, and wait until it has written who runs."""
    complaints = run.folder / "shim.log"
    with complaints.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", shim.__file__, str(run.folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            start_new_session=True, env={}, cwd="/",
        )  # fmt: skip
    if process.stdin is None or process.stdout is None:
        raise OSError("the shim has no pipes")
    spec = {"argv": command.argv, "env": command.env, "cwd": command.cwd, "crashes": crashes}
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(json.dumps(spec).encode())
        await process.stdin.drain()
        process.stdin.close()
    await process.stdout.read()
