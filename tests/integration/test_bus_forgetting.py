"""What is dropped from the bus, on a real nats-server: that message, and nothing that waits beside it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import nats
import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.chassis.bus import Bus
from services.chassis.topology import consumer
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer
from tests.integration.test_bus import state

DURABLE = "of-the-test"
ACK_WAIT = 0.3
COMES_BACK_WITHIN = 20.0
ROUNDS = 6
AT_ONCE = 6


@asynccontextmanager
async def pulling(server: NatsServer) -> AsyncIterator[JetStreamContext.PullSubscription]:
    """A process that shares the consumer. At its end it is as dead: what it did not acknowledge stays so."""
    client = await nats.connect(server.url)
    try:
        yield await client.jetstream().pull_subscribe_bind(stream=Stream.WORKSPACES, consumer=DURABLE)
    finally:
        await client.close()


async def dies_with(server: NatsServer, count: int) -> None:
    async with pulling(server) as dying:
        await dying.fetch(count, timeout=5)


async def publish_all(bus: Bus, names: Iterable[str], version: str) -> None:
    for name in names:
        await bus.publish(state(name, version=version))


async def release(bus: Bus, message: Msg, seen: set[str]) -> None:
    told = WorkspaceState.model_validate_json(message.data)
    if told.resource_version == "last":
        seen.add(told.name)
        await asyncio.gather(bus.forget(WorkspaceState, told.subject, told.uid), message.ack())
    else:
        await message.ack()


async def release_all(bus: Bus, server: NatsServer, names: set[str]) -> None:
    """Handle what comes, several at once, and forget what has come in its last state, as the watcher does."""
    seen: set[str] = set()
    async with pulling(server) as alive, asyncio.timeout(COMES_BACK_WITHIN):
        while seen != names:
            try:
                messages = await alive.fetch(AT_ONCE, timeout=ACK_WAIT)
            except nats.errors.TimeoutError:
                continue
            for message in messages:
                await release(bus, message, seen)


@pytest.mark.parametrize("seed", range(2))
async def test_what_a_killed_process_had_comes_back_though_its_neighbours_are_forgotten_meanwhile(
    bus: Bus, nats_server: NatsServer, seed: int
) -> None:
    """A purge by subject (nats-server 2.15.1) took such messages for acknowledged, each time within these rounds."""
    config = consumer(DURABLE, ["kaito.workspace.>"])
    await bus.js.add_consumer(Stream.WORKSPACES, config.evolve(ack_wait=ACK_WAIT))
    chance = random.Random(seed)
    for number in range(ROUNDS):
        names = [f"w-{number}-{which}" for which in range(AT_ONCE)]
        await publish_all(bus, names, "first")
        await dies_with(nats_server, chance.randint(1, AT_ONCE))
        await publish_all(bus, names, "last")
        await dies_with(nats_server, chance.randint(1, AT_ONCE))
        await release_all(bus, nats_server, set(names))


async def test_what_somebody_else_has_forgotten_is_forgotten(bus: Bus) -> None:
    await bus.publish(state())
    subject = state().subject
    while await bus.newest(WorkspaceState, subject) is None:
        await asyncio.sleep(0.01)
    await asyncio.gather(*(bus.forget(WorkspaceState, subject, state().uid) for _ in range(5)))
    assert await bus.newest(WorkspaceState, subject) is None
    assert (await bus.last(WorkspaceState, subject)).message == state()


async def test_what_comes_while_it_is_forgotten_stays(bus: Bus) -> None:
    for number in range(200):
        await bus.publish(state(version=str(number)))
        later = state(version=f"{number} and later")
        await asyncio.gather(bus.forget(WorkspaceState, later.subject, later.uid), bus.publish(later))
        if number % 20 == 0:
            await until_newest(bus, later)
    await bus.publish(state(version="last"))
    await until_newest(bus, state(version="last"))


async def until_newest(bus: Bus, wanted: WorkspaceState) -> None:
    async with asyncio.timeout(COMES_BACK_WITHIN):
        while await bus.newest(WorkspaceState, wanted.subject) != wanted:
            await asyncio.sleep(0.01)
