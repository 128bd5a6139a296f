"""A watcher on the fakes that runs, and what a test waits for and reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import ConditionType
from services.contracts.messages import WorkspaceState
from services.watcher import publisher
from services.watcher.workspace import read
from tests.unit.samples import INFERENCE
from tests.unit.watcher_fakes import Watcher

CONFIGURED: JsonObject = {**INFERENCE, "config": "settings"}


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """One that waits for nothing."""
    monkeypatch.setattr(publisher, "LOOK_AGAIN", 0.01)
    monkeypatch.setattr(publisher, "AT_ONCE", 0.001)
    return Watcher()


@asynccontextmanager
async def running(*watchers: Watcher) -> AsyncIterator[None]:
    """While this lasts, they publish."""
    tasks = [asyncio.create_task(watcher.publisher.run()) for watcher in watchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Let everything go on until it is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def settled(watcher: Watcher) -> None:
    """Until everything that was told has been looked at, and some time more."""
    await until(watcher.kube.changes.empty)
    await asyncio.sleep(0.1)


def reason(watcher: Watcher, name: str = "w") -> str:
    """The reason of PlanReady, as the API server has it."""
    status = read(watcher.kube.workspace(name)).status
    planned = status.condition(ConditionType.PLAN_READY)
    return planned.reason if planned else ""


def states(watcher: Watcher) -> list[WorkspaceState]:
    """All workspaces that were published, in order."""
    return [m for m in watcher.bus.published if isinstance(m, WorkspaceState)]
