"""The node agent's own log is kept from growing without end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local.node.own_log import NAME, keep_bounded


async def test_the_log_is_cut_as_often_as_it_has_grown_too_long(tmp_path: Path) -> None:
    path, aside = tmp_path / NAME, tmp_path / f"{NAME}.1"
    keeping = asyncio.create_task(keep_bounded(tmp_path, limit=5, every=0.01))
    for text in ("older\n", "newer\n"):
        with path.open("a") as writer:
            writer.write(text)
        async with asyncio.timeout(20):
            while not aside.exists() or aside.read_text() != text or path.stat().st_size:
                await asyncio.sleep(0.01)
    keeping.cancel()


async def test_a_log_that_cannot_be_cut_is_told_once_and_the_agent_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / NAME
    path.write_text("older\n")
    (aside := tmp_path / f"{NAME}.1").mkdir()
    (aside / "in the way").touch()
    keeping = asyncio.create_task(keep_bounded(tmp_path, limit=5, every=0.01))
    async with asyncio.timeout(20):
        while not caplog.records:
            await asyncio.sleep(0.01)
        (aside / "in the way").unlink()
        aside.rmdir()
        while path.stat().st_size:
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert aside.read_text() == "older\n"
    assert len(caplog.records) == 1
