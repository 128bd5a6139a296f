"""The supervisor starts what is on its list, starts it again when it dies, and `down` leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.control import pause, resume
from deploy.local.down import stop_platform
from deploy.local.logs import LIMIT
from deploy.local.process import ProcessSpec, RunningProcess, alive, is_alive, recorded, spawn, terminate
from deploy.local.state import StateError
from deploy.local.steps import Note
from deploy.local.supervised import Supervised, turn, write_list

SLEEP = ("sleep", "1000")


class Silent:
    """Steps that nobody watches."""

    @contextmanager
    def step(self, title: str, first_time: str = "") -> Iterator[Note]:
        yield lambda _: None

    def say(self, line: str) -> None:
        pass


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, 10 s at most."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def item(folder: Path, name: str, argv: tuple[str, ...] = SLEEP) -> Supervised:
    return Supervised(
        spec=ProcessSpec(name=name, argv=argv, log_path=folder / f"{name}.log"), run_folder=folder / "run"
    )


def start(folder: Path) -> RunningProcess:
    argv = (sys.executable, "-m", "deploy.local.supervisor", str(folder))
    return spawn(ProcessSpec(name="supervisor", argv=argv, log_path=folder / "supervisor.log"), folder / "run")


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A state folder with a supervisor at work."""
    folder = tmp_path / "state"
    folder.mkdir()
    start(folder)
    yield folder
    if folder.exists():
        await asyncio.to_thread(stop_platform, folder, Silent())


def running(folder: Path, name: str) -> RunningProcess | None:
    return alive(name, folder / "run")


async def test_what_is_killed_comes_back_as_another_process(folder: Path) -> None:
    write_list(folder, [item(folder, "one"), item(folder, "two")])
    await until(lambda: running(folder, "one") and running(folder, "two"))
    before, other = running(folder, "one"), running(folder, "two")
    assert before
    assert other

    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: (now := running(folder, "one")) and now.pid != before.pid)

    assert running(folder, "two") == other


async def test_a_supervisor_that_is_killed_leaves_all_running_and_the_next_one_adopts_it(folder: Path) -> None:
    write_list(folder, [item(folder, "one")])
    await until(lambda: running(folder, "one"))
    process, supervisor = running(folder, "one"), recorded("supervisor", folder / "run")
    assert process
    assert supervisor

    os.kill(supervisor.pid, signal.SIGKILL)
    await until(lambda: not is_alive(supervisor))
    assert running(folder, "one") == process
    start(folder)
    write_list(folder, [item(folder, "one"), item(folder, "two")])
    await until(lambda: running(folder, "two"))

    assert running(folder, "one") == process


async def test_a_stopped_process_stays_away_until_it_is_started(folder: Path) -> None:
    write_list(folder, [item(folder, "one"), item(folder, "two")])
    await until(lambda: running(folder, "one") and running(folder, "two"))

    await asyncio.to_thread(pause, folder, ["one"])
    two = running(folder, "two")
    assert two
    os.kill(two.pid, signal.SIGKILL)
    await until(lambda: (now := running(folder, "two")) and now.pid != two.pid)
    assert running(folder, "one") is None  # though the supervisor has looked, as the other one shows

    await asyncio.to_thread(resume, folder, ["one"])
    await until(lambda: running(folder, "one"))


async def test_what_keeps_dying_is_not_started_in_a_hurry(folder: Path) -> None:
    births = folder / "births"
    write_list(folder, [item(folder, "dies", ("sh", "-c", f"echo born >> {births}"))])
    began = time.monotonic()
    await until(lambda: births.exists() and len(births.read_text().split()) >= 4)

    assert time.monotonic() - began >= 0.5 + 1.0


async def test_a_log_does_not_grow_without_end(folder: Path) -> None:
    write_list(
        folder, [item(folder, "talks", ("sh", "-c", f"head -c {LIMIT + 1} /dev/zero; echo more; exec sleep 1000"))]
    )
    log, older = folder / "talks.log", folder / "talks.log.1"
    await until(older.exists)
    await until(lambda: log.stat().st_size < LIMIT)
    assert older.stat().st_size > LIMIT
    assert running(folder, "talks")


async def test_nothing_is_started_while_somebody_else_has_the_turn(folder: Path) -> None:
    write_list(folder, [item(folder, "one")])
    await until(lambda: running(folder, "one"))
    one = running(folder, "one")
    assert one

    with turn(folder, lambda: None):
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: is_reaped(one))  # the supervisor goes on reaping, so it has been round
        assert running(folder, "one") is None

    await until(lambda: running(folder, "one"))


def is_reaped(process: RunningProcess) -> bool:
    return not Path(f"/proc/{process.pid}").exists()


async def test_an_unknown_name_is_answered_with_those_there_are(folder: Path) -> None:
    write_list(folder, [item(folder, "one"), item(folder, "two")])

    with pytest.raises(StateError, match=r"no process three\. There are: one, two"):
        await asyncio.to_thread(pause, folder, ["three"])


async def test_down_ends_all_and_removes_the_folder_and_can_be_said_twice(folder: Path) -> None:
    write_list(folder, [item(folder, "one"), item(folder, "two")])
    await until(lambda: running(folder, "one") and running(folder, "two"))
    processes = [recorded(name, folder / "run") for name in ("one", "two", "supervisor")]

    for _ in range(2):
        await asyncio.to_thread(stop_platform, folder, Silent())

    assert not folder.exists()
    assert all(process and not is_alive(process) for process in processes)


async def test_down_ends_what_is_recorded_even_without_supervisor_and_list(tmp_path: Path) -> None:
    process = spawn(ProcessSpec(name="one", argv=SLEEP, log_path=tmp_path / "log"), tmp_path / "state" / "run")

    await asyncio.to_thread(stop_platform, tmp_path / "state", Silent())

    assert not is_alive(process)


async def test_down_never_touches_a_process_that_only_has_the_pid_of_ours(tmp_path: Path) -> None:
    run_folder = tmp_path / "state" / "run"
    process = spawn(ProcessSpec(name="one", argv=SLEEP, log_path=tmp_path / "log"), run_folder)
    other = process.model_copy(update={"start_time": process.start_time - 1})
    (run_folder / "one.json").write_text(other.model_dump_json())

    await asyncio.to_thread(stop_platform, tmp_path / "state", Silent())

    assert is_alive(process)
    await terminate(process)
