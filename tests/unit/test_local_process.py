"""Processes are found again by pid and start time, and nothing else is ever ended."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.process import (
    ProcessError,
    ProcessSpec,
    Ready,
    RunningProcess,
    alive,
    ensure_running,
    forget,
    is_alive,
    recorded,
    spawn,
    terminate,
    wait_ready,
)


def spec(tmp_path: Path, *argv: str, ready: Ready | None = None) -> ProcessSpec:
    return ProcessSpec(name="part", argv=argv, env={"GREETING": "hello"}, ready=ready, log_path=tmp_path / "part.log")


@pytest.fixture
async def sleeper(tmp_path: Path) -> AsyncIterator[RunningProcess]:
    process = spawn(spec(tmp_path, "sleep", "60"), tmp_path / "run")
    yield process
    await terminate(process)


def test_a_started_process_is_found_again(sleeper: RunningProcess, tmp_path: Path) -> None:
    assert alive("part", tmp_path / "run") == sleeper
    assert os.getsid(sleeper.pid) == sleeper.pid


async def test_an_ended_process_is_known_to_have_ended(sleeper: RunningProcess, tmp_path: Path) -> None:
    await terminate(sleeper)
    assert not is_alive(sleeper)
    assert alive("part", tmp_path / "run") is None
    assert recorded("part", tmp_path / "run") == sleeper
    forget(sleeper, tmp_path / "run")
    assert recorded("part", tmp_path / "run") is None


@pytest.mark.parametrize("other", [{"start_time": 1}, {"boot_id": "another"}])
async def test_a_pid_that_is_somebody_elses_now_is_left_alone(
    sleeper: RunningProcess, other: dict[str, object]
) -> None:
    stale = sleeper.model_copy(update=other)
    assert not is_alive(stale)
    await terminate(stale)
    assert is_alive(sleeper)


async def test_one_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"trap '' TERM; sleep 60 & echo $! > {fifo}; wait; wait"
    process = spawn(spec(tmp_path, "sh", "-c", script), tmp_path / "run")
    child = await asyncio.to_thread(fifo.read_text)
    await terminate(process, grace_s=0.1)
    assert not is_alive(process)
    async with asyncio.timeout(60):
        while _runs(child.strip()):
            await asyncio.sleep(0.01)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


FIRST_THREAD_LEAVES = """
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).pthread_exit(None)
"""


async def test_one_whose_first_thread_has_ended_lives_until_all_have(tmp_path: Path) -> None:
    """Each process with threads looks so for a moment while it ends. It can be reaped only when all have ended."""
    process = spawn(spec(tmp_path, sys.executable, "-c", FIRST_THREAD_LEAVES), tmp_path / "run")
    async with asyncio.timeout(60):
        while _runs(str(process.pid)):
            await asyncio.sleep(0.01)
    assert is_alive(process)
    await terminate(process)
    assert not Path(f"/proc/{process.pid}").exists()


async def test_output_goes_to_a_log_that_only_the_user_reads(tmp_path: Path) -> None:
    process = spawn(spec(tmp_path, "sh", "-c", "echo $GREETING; echo world >&2"), tmp_path / "run")
    await _ended(process)
    assert (tmp_path / "part.log").read_text() == "hello\nworld\n"
    assert (tmp_path / "part.log").stat().st_mode & 0o777 == 0o600


async def test_one_that_ends_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    part = spec(tmp_path, "sh", "-c", "echo port is taken; exit 1", ready=Ready(url="http://127.0.0.1:9/"))
    with pytest.raises(ProcessError, match=r"part has ended\. Its last lines:\n    port is taken\n"):
        await wait_ready(part, spawn(part, tmp_path / "run"))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="part cannot be started: no-such-program: No such file"):
        spawn(spec(tmp_path, "no-such-program"), tmp_path / "run")


async def test_a_living_process_is_adopted_and_one_with_other_arguments_replaced(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = await ensure_running(spec(tmp_path, "sleep", "60"), run)
    assert await ensure_running(spec(tmp_path, "sleep", "60"), run) == first
    second = await ensure_running(spec(tmp_path, "sleep", "61"), run)
    assert not is_alive(first)
    assert is_alive(second)
    await terminate(second)


async def test_a_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from deploy.local.process import ProcessSpec, spawn;"
        f"spawn(ProcessSpec(name='part', argv=('sleep', '60'), log_path=Path({str(tmp_path / 'log')!r})),"
        f"Path({str(tmp_path / 'run')!r}))"
    )
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await starter.wait() == 0
    process = alive("part", tmp_path / "run")
    assert process
    await terminate(process)
    assert not is_alive(process)


async def _ended(process: RunningProcess) -> None:
    async with asyncio.timeout(60):
        while is_alive(process):
            await asyncio.sleep(0.01)
