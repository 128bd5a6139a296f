"""Processes by pid and start time, so that a pid the kernel has given to somebody else is never taken for ours.

It works for processes of an earlier agent too, which are not children of this one.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from services.contracts.base import Contract


class ProcessId(Contract):
    """One process since boot. `start_ticks`: field 22 of /proc/PID/stat, see proc(5)."""

    pid: int = Field(gt=1)
    start_ticks: int

    def is_alive(self) -> bool:
        """Whether this very process runs, be it in other threads than its first.

        One that has ended but is not yet reaped does not.
        """
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        fields = stat.rpartition(")")[2].split()
        state, threads, start_ticks = fields[0], int(fields[17]), int(fields[19])
        return (state not in "ZX" or threads > 1) and start_ticks == self.start_ticks

    def signal_group(self, number: int) -> None:
        """Send a signal to the process group that this process leads. Nothing happens if it has ended."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def ended(self) -> None:
        """Wait until it has ended, without polling."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                await _readable(descriptor)
        finally:
            os.close(descriptor)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


class Surroundings(NamedTuple):
    """What a process was given: its environment and working directory."""

    env: dict[str, str]
    cwd: str


def surroundings(pid: int) -> Surroundings:
    """What a process was started with. Raises OSError when it has ended."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    return Surroundings({name: value for name, _, value in pairs}, str(Path(f"/proc/{pid}/cwd").readlink()))
