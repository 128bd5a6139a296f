"""Readiness is of this very process: what its own pull loop does, not what other replicas do for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from faststream.nats.subscriber.usecases import PullStreamSubscriber

from services.chassis import bus as chassis_bus
from services.chassis import pulls
from services.chassis.bus import Bus
from services.chassis.service import Service
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running, scheduler, state, until

FETCH_SECONDS = 0.2
SILENT_AFTER = 1.5


@pytest.fixture(autouse=True)
def short_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis_bus, "FETCH_SECONDS", FETCH_SECONDS)
    monkeypatch.setattr(pulls, "SILENT_AFTER", SILENT_AFTER)


async def problems(made: Service, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """What is wrong, once it is as wanted."""
    async with asyncio.timeout(60):
        while not wanted(found := await made.health.problems()):
            await asyncio.sleep(0.02)
    return found


async def ready(made: Service) -> None:
    await problems(made, lambda found: not found)


def end_pull_loops(made: Service) -> None:
    for subscriber in made.bus.broker.subscribers:
        assert isinstance(subscriber, PullStreamSubscriber)
        for task in subscriber.tasks:
            task.cancel()


async def test_one_whose_pull_loop_has_ended_is_not_ready_though_another_pulls(
    bus: Bus, nats_server: NatsServer
) -> None:
    dead, other = (scheduler(nats_server, lambda _: None) for _ in range(2))
    async with running(dead), running(other):
        await ready(dead)
        await ready(other)
        end_pull_loops(dead)
        found = await problems(dead, bool)
        assert found["bus"].startswith("consumer scheduler-workspaces: no pull of this process was answered for")
        await ready(other)


async def test_one_whose_hands_are_all_full_stays_ready(bus: Bus, nats_server: NatsServer) -> None:
    began: list[WorkspaceState] = []
    done = asyncio.Event()
    made = service("scheduler", nats_server)

    async def work(message: WorkspaceState) -> None:
        began.append(message)
        await done.wait()

    made.bus.handle(WorkspaceState, Stream.WORKSPACES, "scheduler-workspaces", "kaito.workspace.>", work)
    async with running(made):
        for number in range(12):
            await bus.publish(state(f"w-{number}"))
        await until(lambda: len(began) == made.settings.workers)
        await _stays_ready(made, 2 * SILENT_AFTER)
        assert len(began) == made.settings.workers
        done.set()
        await until(lambda: len(began) == 12)
        await ready(made)


async def _stays_ready(made: Service, seconds: float) -> None:
    """Ready at each look, for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert await made.health.problems() == {}
        await asyncio.sleep(0.01)


async def test_one_that_has_found_the_server_again_is_ready_again(bus: Bus, nats_server: NatsServer) -> None:
    made = scheduler(nats_server, lambda _: None)
    async with running(made):
        await ready(made)
        await nats_server.kill()
        await problems(made, lambda found: found.get("bus") == "NATS is not connected")
        await nats_server.start()
        await ready(made)
        assert made.bus.reconnects == 1
