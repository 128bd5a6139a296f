"""Runs one outside command to its end, its output in a log file."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.binaries.model import BinariesError

BEAT_S = 15.0
"""Seconds between two signs of life of a long command."""

_LAST_LINES = 15


class CommandError(BinariesError):
    """A command failed: which one, how it ended, its last lines, and where its whole output is."""


async def run(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit_s: float = 600.0,
    beat: Callable[[float], None] | None = None,
) -> None:
    """Run `argv`, append its output to `log`; `beat` gets the seconds passed, every 15 seconds.

    Raises CommandError when the command is missing, exits non-zero or runs longer than `limit_s`. The
    command and its children are ended when the caller is cancelled.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        start = output.tell()
        status = await _run(argv, output.fileno(), env, cwd, limit_s, beat)
    if status:
        raise CommandError(_explain(argv, status, log, start))


async def _run(
    argv: Sequence[str],
    output: int,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    limit_s: float,
    beat: Callable[[float], None] | None,
) -> str:
    """Return how the command ended, in words; empty when it went well."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd,
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        return "is not installed on this machine"
    try:
        if not await _ended(process, limit_s, beat):
            return f"was ended after {limit_s:.0f} s without a result"
    finally:
        await _end_group(process)
    return f"ended with exit status {process.returncode}" if process.returncode else ""


async def _ended(process: asyncio.subprocess.Process, limit_s: float, beat: Callable[[float], None] | None) -> bool:
    """Wait for the end of `process`; False when `limit_s` passes first."""
    started = time.monotonic()
    while (passed := time.monotonic() - started) < limit_s:
        try:
            await asyncio.wait_for(process.wait(), min(BEAT_S, limit_s - passed))
        except TimeoutError:
            if beat:
                beat(time.monotonic() - started)
        else:
            return True
    return False


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _explain(argv: Sequence[str], status: str, log: Path, start: int) -> str:
    with log.open("rb") as output:
        output.seek(start)
        lines = output.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    shown = " ".join(argv)
    shown = shown if len(shown) < 200 else f"{shown[:200]} ..."
    said = "\n".join(f"    {line[:300]}" for line in lines) or "    (it said nothing)"
    return f"`{shown}` {status}. Its last lines:\n{said}\nThe whole log: {log}"
