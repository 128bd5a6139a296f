"""Processes of the node by pid and start time: who lives, and who has ended."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.node.pids import ProcessId

FIRST_THREAD_LEAVES = """
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def stat(pid: int) -> list[str]:
    """From the third field on, which is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_LEAVES], start_new_session=True) as program:
        yield program


async def test_a_program_whose_first_thread_has_ended_lives_and_is_ended_with_its_group(
    program: subprocess.Popen[bytes],
) -> None:
    process = ProcessId(pid=program.pid, start_ticks=int(stat(program.pid)[19]))
    async with asyncio.timeout(60):
        while stat(program.pid)[0] != "Z":
            await asyncio.sleep(0.01)
    assert process.is_alive()
    process.signal_group(signal.SIGKILL)
    await asyncio.wait_for(process.ended(), 60)
    assert not process.is_alive(), "nobody has reaped it yet"
