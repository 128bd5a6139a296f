"""The bus: from before a publish to the start of its handler.

The messages are demands of a provider that nobody else serves, so that a hop is what is measured, and not what another
service does with the same message. All services stand beside it at rest.
"""

from __future__ import annotations

import asyncio
import time

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.chassis.topology import consumer, provisioner
from services.contracts.messages import Demand
from tests.bench.figure import Figure
from tests.stack import Stack

PROVIDER = "bench"
STREAM, DURABLE, SUBJECTS = provisioner(PROVIDER)


async def measure_hop(stack: Stack, *, messages: int = 1000, pause: float = 0.01) -> Figure:
    """Publish one message every `pause` seconds; the stack's NATS and watcher must run."""
    bus = Bus(Settings(nats_url=stack.state.nats_url), Telemetry(None, "bench"), Metrics())
    arrived: dict[str, float] = {}
    sent: dict[str, float] = {}

    async def handle(demand: Demand) -> None:
        arrived[demand.name] = time.perf_counter()

    bus.handle(Demand, STREAM, DURABLE, SUBJECTS[0], handle)
    await bus.connect()
    await bus.js.add_consumer(STREAM, consumer(DURABLE, SUBJECTS))
    await bus.broker.start()
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
    return Figure("bus hop, publish to handler", "ms", hops, 10)


def _demand(name: str) -> Demand:
    return Demand(
        namespace="bench", name=name, uid=name, generation=1, plan_revision=1,
        provider=PROVIDER, nodes=1, instance_type="bench",
    )  # fmt: skip
