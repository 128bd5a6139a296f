"""A provider that offers for the first time gets its consumer at once, not at the owner's next look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest
from nats.js.errors import NotFoundError

from services.chassis.bus import Bus
from services.chassis.kube import Lease
from services.contracts.offers import Offers
from services.contracts.subjects import Stream
from services.watcher import app
from services.watcher.app import Leader
from services.watcher.publisher import Publisher
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running


@pytest.fixture
async def owner(bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bus]:
    """The bus of a topology's owner that has looked once, and looks again in a long time only."""
    monkeypatch.setattr(app, "TOPOLOGY_EVERY", 3600.0)
    made = service("watcher", nats_server)
    # What owns the topology uses neither the publisher, where nothing was lost, nor the Lease.
    leader = Leader(made, app.WatcherSettings(), cast(Publisher, None), cast(Lease, None))
    made.tasks.append(leader._own_topology)
    await bus.js.delete_consumer(Stream.PLANS, "deployer-plans")
    async with running(made):
        await consumer(bus, Stream.PLANS, "deployer-plans")
        yield made.bus


async def consumer(bus: Bus, stream: Stream, durable: str) -> None:
    """Wait until it is there."""
    async with asyncio.timeout(60):
        while True:
            try:
                await bus.js.consumer_info(stream, durable)
            except NotFoundError:
                await asyncio.sleep(0.02)
            else:
                return


async def offer(bus: Bus, provider: str) -> None:
    await bus.offer(Offers(provider=provider, published_at=datetime(2026, 1, 1, tzinfo=UTC)))


async def test_each_newcomer_is_served_at_once(bus: Bus, owner: Bus) -> None:
    for provider in ("one", "two"):
        await offer(bus, provider)
        await consumer(bus, Stream.DEMANDS, f"provisioner-{provider}")


async def test_also_once_nats_was_away(bus: Bus, owner: Bus, nats_server: NatsServer) -> None:
    await nats_server.kill()
    await nats_server.start()
    async with asyncio.timeout(60):
        while not (bus.connected and owner.connected and owner.reconnects):
            await asyncio.sleep(0.02)
    await owner.client.flush()
    await offer(bus, "late")
    await consumer(bus, Stream.DEMANDS, "provisioner-late")
