"""Pulling from a consumer: no more than can be handled, and nobody waits for who is slow."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.bus import Bus
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running, state, until

DURABLE = "scheduler-workspaces"
HANDS = 4
"""The `workers` of the service that the tests make."""


async def test_no_more_is_asked_for_than_is_handled_at_once(bus: Bus, nats_server: NatsServer) -> None:
    """What a process only keeps would be given to somebody else after a while, and handled twice."""
    began: list[str] = []
    go_on = asyncio.Semaphore(0)

    async def work(message: WorkspaceState) -> None:
        began.append(message.name)
        await go_on.acquire()

    names = [f"w-{number}" for number in range(3 * HANDS)]
    for name in names:
        await bus.publish(state(name))
    made = service("scheduler", nats_server)
    made.bus.handle(WorkspaceState, Stream.WORKSPACES, DURABLE, work)
    async with running(made):
        await until(lambda: len(began) == HANDS)
        info = await bus.js.consumer_info(Stream.WORKSPACES, DURABLE)
        assert (info.num_ack_pending, info.num_pending) == (HANDS, len(names) - HANDS)
        go_on.release()
        await until(lambda: len(began) == HANDS + 1)
        for _ in names:
            go_on.release()
        await until(lambda: sorted(began) == sorted(names))


async def test_who_is_slow_is_not_waited_for_by_the_others(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def work(message: WorkspaceState) -> None:
        if message.name == "slow":
            await asyncio.Event().wait()
        done.append(message.name)

    monkeypatch.setattr("services.chassis.puller.GRACE", 0.01)
    names = [f"w-{number}" for number in range(5 * HANDS)]
    for name in ("slow", *names):
        await bus.publish(state(name))
    made = service("scheduler", nats_server)
    made.bus.handle(WorkspaceState, Stream.WORKSPACES, DURABLE, work)
    async with running(made):
        await until(lambda: sorted(done) == sorted(names))
