"""A process runs only once it is recorded: whoever starts it may be killed before it has written it down."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from deploy.local.process import ProcessSpec, alive, spawn, terminate

STARTER = """
import os, signal, sys
from pathlib import Path
from deploy.local import process

def killed(spec, pid, run_folder):
    Path(sys.argv[2]).write_text(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)

process.record = killed
spec = process.ProcessSpec(name="part", argv=("sh", "-c", sys.argv[1]), log_path=Path(sys.argv[3]))
process.spawn(spec, Path(sys.argv[4]))
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_it_ends_unused_where_its_starter_was_killed_before_recording_it(tmp_path: Path) -> None:
    ran, pid_file = tmp_path / "ran", tmp_path / "pid"
    arguments = (f"touch {ran}; exec sleep 1000", str(pid_file), str(tmp_path / "log"), str(tmp_path / "run"))
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, *arguments)
    assert await starter.wait() == -signal.SIGKILL
    pid = int(pid_file.read_text())
    try:
        async with asyncio.timeout(60):
            while runs(pid) and not ran.exists():
                await asyncio.sleep(0.01)
        assert not ran.exists()
    finally:
        if ran.exists():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_what_is_recorded_becomes_the_very_program_under_the_same_pid(tmp_path: Path) -> None:
    argv = ("sleep", "1000")
    process = spawn(ProcessSpec(name="part", argv=argv, log_path=tmp_path / "log"), tmp_path / "run")
    command = Path(f"/proc/{process.pid}/cmdline")
    async with asyncio.timeout(60):
        while tuple(command.read_text().rstrip("\0").split("\0")) != argv:
            await asyncio.sleep(0.01)
    assert Path(f"/proc/{process.pid}/fd/0").resolve() == Path(os.devnull)
    assert alive("part", tmp_path / "run") == process
    await terminate(process)


async def test_its_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    word = "two words $(exit 1) 'quoted' \"too\" *"
    process = spawn(ProcessSpec(name="part", argv=("printf", "%s", word), log_path=tmp_path / "log"), tmp_path / "run")
    async with asyncio.timeout(60):
        while runs(process.pid):
            await asyncio.sleep(0.01)
    assert (tmp_path / "log").read_text() == word
