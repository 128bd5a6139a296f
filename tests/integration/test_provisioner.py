"""Offers on a real nats-server: they are there as soon as they can be, stay fresh, and bring demands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer, Offers
from services.contracts.subjects import Stream, provisioner_consumer
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Instance, InstanceSpec, Key
from tests.integration.conftest import NatsServer, connected_bus


class Cloud:
    """Offers what it is told to, or refuses to say."""

    name, simulated, owns_nodes = "cloud", False, True

    def __init__(self, *sizes: str) -> None:
        self.sizes = sizes
        self.refuses = False

    async def offers(self) -> tuple[Offer, ...]:
        if self.refuses:
            raise ProviderError(FailureCode.UNAUTHORIZED, "who are you?", retry_after=0.05)
        return tuple(Offer(instance_type=size) for size in self.sizes)

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        return ()

    async def create(self, spec: InstanceSpec) -> Instance:
        raise ProviderError(FailureCode.INSUFFICIENT_CAPACITY, "none left")

    async def delete(self, instance: Instance) -> None:
        return None


@pytest.fixture
async def plain_bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """Connected to a server without any stream."""
    async with connected_bus(nats_server.url, "provisioner") as bus:
        yield bus


@asynccontextmanager
async def publishing(bus: Bus, cloud: Cloud, every: float = 60) -> AsyncIterator[OfferPublisher]:
    publisher, connected = OfferPublisher(bus, cloud, every), asyncio.Event()
    connected.set()
    task = asyncio.create_task(publisher.run(connected))
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_offered(bus: Bus, wanted: Callable[[Offers], bool]) -> Offers:
    async with asyncio.timeout(60):
        while True:
            if found := [o for o in await bus.offers() if wanted(o)]:
                return found[0]
            await asyncio.sleep(0.02)


def sizes(offers: Offers) -> list[str]:
    return [offer.instance_type for offer in offers.offers]


async def test_offers_are_published_as_soon_as_the_bucket_is_there(plain_bus: Bus) -> None:
    async with publishing(plain_bus, Cloud("a")) as publisher:
        assert await publisher.problem()
        topology = Topology(plain_bus.js, Metrics())
        await topology.ensure()
        assert sizes(await until_offered(plain_bus, lambda _: True)) == ["a"]
        await topology.ensure()
        await plain_bus.js.consumer_info(Stream.DEMANDS, provisioner_consumer("cloud"))
        assert await publisher.problem() is None


async def test_a_change_is_published_at_once(bus: Bus) -> None:
    cloud = Cloud("a")
    async with publishing(bus, cloud) as publisher:
        await until_offered(bus, lambda o: sizes(o) == ["a"])
        cloud.sizes = ("a", "b")
        publisher.change()
        await until_offered(bus, lambda o: sizes(o) == ["a", "b"])


async def test_offers_are_kept_fresh(bus: Bus) -> None:
    async with publishing(bus, Cloud("a"), every=0.05):
        first = await until_offered(bus, lambda _: True)
        await until_offered(bus, lambda o: o.published_at > first.published_at)


async def test_a_cloud_that_does_not_say_is_asked_again(bus: Bus) -> None:
    cloud = Cloud("a")
    cloud.refuses = True
    async with publishing(bus, cloud) as publisher:
        async with asyncio.timeout(60):
            while not publisher.asked:
                await asyncio.sleep(0.01)
        assert publisher.offers is None
        cloud.refuses = False
        await until_offered(bus, lambda o: sizes(o) == ["a"])
