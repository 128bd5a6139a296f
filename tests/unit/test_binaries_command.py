"""Commands that fail, do not exist or do not end are reported so that a person can act on it."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.binaries.command import CommandError, run


async def test_a_failure_names_the_command_its_last_lines_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    await run(["sh", "-c", "echo of an earlier command"], log=log)
    with pytest.raises(CommandError) as caught:
        await run(["sh", "-c", "echo no space left >&2; exit 3"], log=log)
    message = str(caught.value)
    assert "`sh -c echo no space left >&2; exit 3` ended with exit status 3" in message
    assert "\n    no space left\n" in message
    assert message.endswith(f"The whole log: {log}")
    assert "earlier" not in message
    assert "earlier" in log.read_text()


async def test_a_missing_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="`no-such-command` is not installed on this machine"):
        await run(["no-such-command"], log=tmp_path / "log")


async def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="was ended after 0 s"):
        await run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], log=tmp_path / "log", limit_s=0.3)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    started = tmp_path / "fifo"
    await run(["mkfifo", str(started)], log=tmp_path / "log")
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ > {started}; exec sleep 60"], log=tmp_path / "log"))
    pid = await asyncio.to_thread(started.read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pid.strip()}").exists()
