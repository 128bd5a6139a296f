"""The bus: from before a publish to the start of its handler.

The messages are demands of a provider that nobody else serves, so that a hop is what is measured, and not what another
service does with the same message. It is measured twice: on a nats-server alone, and with all services and Kubernetes
beside it, at rest, on the same cores.
"""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import nats

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.chassis.topology import Topology, consumer, provisioner
from services.contracts.messages import Demand
from tests.bench.figure import Figure
from tests.integration.conftest import NatsServer

PROVIDER = "bench"
STREAM, DURABLE, SUBJECTS = provisioner(PROVIDER)


async def measure_alone(folder: Path) -> Figure:
    """On a nats-server with our streams, and nothing else."""
    server = NatsServer(folder, environment={})
    await server.start()
    try:
        client = await nats.connect(server.url)
        while not await Topology(client.jetstream(), Metrics()).ensure():
            await asyncio.sleep(0.1)
        await client.close()
        return await measure_hop(server.url, "alone")
    finally:
        await server.kill()


async def measure_hop(url: str, beside: str, *, messages: int = 1000, pause: float = 0.01) -> Figure:
    """Publish one message every `pause` seconds to a nats-server that has our streams."""
    bus = Bus(Settings(nats_url=url), Telemetry(None, "bench"), Metrics())
    arrived: dict[str, float] = {}
    sent: dict[str, float] = {}

    async def handle(demand: Demand) -> None:
        arrived[demand.name] = time.perf_counter()

    bus.handle(Demand, STREAM, DURABLE, SUBJECTS[0], handle)
    await bus.connect()
    await bus.js.add_consumer(STREAM, consumer(DURABLE, SUBJECTS))
    await bus.broker.start()
    gc.collect()
    gc.freeze()  # as every service does once it is wired
    for number in range(messages):
        demand = _demand(f"hop-{number}")
        sent[demand.name] = time.perf_counter()
        await bus.publish(demand)
        await asyncio.sleep(pause)
    async with asyncio.timeout(30):
        while len(arrived) < messages:
            await asyncio.sleep(0.01)
    await bus.js.delete_consumer(STREAM, DURABLE)
    await bus.close()
    hops = tuple(1000 * (arrived[name] - at) for name, at in sent.items())
    return Figure(f"bus hop, publish to handler, {beside}", "ms", hops, 10)


def _demand(name: str) -> Demand:
    return Demand(
        namespace="bench", name=name, uid=name, generation=1, plan_revision=1,
        provider=PROVIDER, nodes=1, instance_type="bench",
    )  # fmt: skip
