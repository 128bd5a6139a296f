"""The bus: from before a publish to the start of its handler."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.chassis.topology import consumer
from services.contracts.messages import Report
from services.contracts.subjects import ServiceName, Stream
from tests.bench.figure import Figure
from tests.stack import Stack

DURABLE = "bench"
SUBJECTS = "kaito.report.deployer.bench.>"


async def measure_hop(stack: Stack, *, messages: int = 1000, pause: float = 0.01) -> Figure:
    """Publish one message every `pause` seconds; the stack's NATS and watcher must run."""
    bus = Bus(Settings(nats_url=stack.state.nats_url), Telemetry(None, "bench"), Metrics())
    arrived: dict[str, float] = {}
    sent: dict[str, float] = {}

    async def handle(report: Report) -> None:
        arrived[report.name] = time.perf_counter()

    bus.handle(Report, Stream.REPORTS, DURABLE, SUBJECTS, handle)
    await bus.connect()
    await bus.js.add_consumer(Stream.REPORTS, consumer(DURABLE, [SUBJECTS]))
    await bus.broker.start()
    for number in range(messages):
        report = _report(f"hop-{number}")
        sent[report.name] = time.perf_counter()
        await bus.publish(report)
        await asyncio.sleep(pause)
    async with asyncio.timeout(30):
        while len(arrived) < messages:
            await asyncio.sleep(0.01)
    await bus.js.delete_consumer(Stream.REPORTS, DURABLE)
    await bus.close()
    hops = tuple(1000 * (arrived[name] - at) for name, at in sent.items())
    return Figure("bus hop, publish to handler", "ms", hops, 10)


def _report(name: str) -> Report:
    return Report(
        namespace="bench",
        name=name,
        uid=name,
        generation=1,
        service=ServiceName.DEPLOYER,
        endpoint=f"{datetime.now(UTC)}",
    )
