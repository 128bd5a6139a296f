"""A provisioner as a supervised process, and the suite as its user runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from services.cli.conformance.outcome import Result
from tests.forked import fork

RESULTS = TypeAdapter(list[Result])
KAITOBUS = (sys.executable, "-m", "services.cli.main", "conformance")
PROVISIONER = (sys.executable, "-m", "services.provisioner")

QUICK = {
    "KAITOBUS_HTTP_PORT": "0",
    "KAITOBUS_OFFER_SECONDS": "2",
    "KAITOBUS_RETRY_SECONDS": "1",
    "KAITOBUS_REFUSAL_SECONDS": "5",
    "KAITOBUS_COLLECT_SECONDS": "1",
    "KAITOBUS_GRACE_SECONDS": "1",
    "KAITOBUS_SETTLE_SECONDS": "1",
}
"""Settings under which a provisioner of ours waits for nothing for its own sake."""


class Supervised:
    """A process that is started again as often as it ends, until it is stopped."""

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], folder: Path) -> None:
        self._argv = argv
        self._env = {**os.environ, **env}
        self._log = folder / "provisioner.log"
        self._pid_file = folder / "pid"
        self._task: asyncio.Task[None] | None = None
        self.starts = 0

    @property
    def restart_command(self) -> str:
        """Ends the process the hard way; it comes back by itself."""
        return f"kill -9 $(cat {self._pid_file})"

    def kill(self) -> None:
        """The same from here."""
        os.kill(int(self._pid_file.read_text()), signal.SIGKILL)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _supervise(self) -> None:
        while True:
            process = fork(self._argv, self._env, self._log)
            self.starts += 1
            self._pid_file.write_text(str(process.pid))
            try:
                await asyncio.to_thread(process.join)
                await asyncio.sleep(0.2)
            finally:
                process.kill()

    def log(self) -> str:
        """The end of what it has said."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""


class Place:
    """A nats-server, a folder, and what was started here."""

    def __init__(self, nats_url: str, folder: Path) -> None:
        self.nats_url = nats_url
        self.folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def start(self, env: Mapping[str, str], argv: tuple[str, ...] = PROVISIONER) -> Supervised:
        """Put a provisioner here."""
        made = Supervised(argv, {"KAITOBUS_NATS_URL": self.nats_url, **QUICK, **env}, self.folder)
        return await self._stack.enter_async_context(made)

    async def conformance(self, provider: str, *options: str) -> tuple[int, list[Result], str]:
        """Run the suite; returns its exit code, each scenario's result, and all that it printed."""
        process = await asyncio.create_subprocess_exec(
            *KAITOBUS, "--provider", provider, "--nats", self.nats_url, "--json", *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        results = RESULTS.validate_json(output) if output else []
        code = process.returncode if process.returncode is not None else -1
        return code, results, output.decode() + errors.decode()
