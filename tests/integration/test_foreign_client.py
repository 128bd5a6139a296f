"""A provisioner in another language: a NATS client, subjects and JSON are enough. Nothing of ours runs in it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts.messages import WorkspaceState
from services.contracts.workspace import Inference, LabelSelector, Preset, Resource, WorkspaceSpec
from services.scheduler.app import wire
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running

T = TypeVar("T")

OFFERS = {
    "provider": "acme",
    "offers": [
        {"instanceType": "small", "gpus": 1, "gpuModel": "A10", "gpuMemoryGib": 22, "pricePerHour": 1.0,
         "cudaComputeCapability": 8.6, "cpu": 16, "memoryGib": 64},
        {"instanceType": "large", "gpus": 1, "gpuModel": "A100", "gpuMemoryGib": 79, "pricePerHour": 3.0,
         "cudaComputeCapability": 8.0, "cpu": 16, "memoryGib": 64},
    ],
}  # fmt: skip


class Foreigner:
    """What such a client does, with plain NATS alone."""

    def __init__(self, js: JetStreamContext) -> None:
        self.js = js

    async def offer(self) -> None:
        """Put what it offers into the bucket, under its name."""
        bucket = await self.js.key_value("OFFERS")
        now = datetime.now(UTC).isoformat()
        await bucket.put("acme", json.dumps(OFFERS | {"publishedAt": now}).encode())

    async def next_demand(self) -> Msg:
        """Pull one demand from the consumer that the topology's owner has made for it."""
        subscription = await self.js.pull_subscribe_bind("provisioner-acme", "DEMANDS")
        (message,) = await subscription.fetch(1, timeout=10)
        await message.ack()
        return message

    async def report(self, demand: dict[str, object], **said: object) -> None:
        """Say how it stands with a demand."""
        named = {key: demand[key] for key in ("namespace", "name", "uid", "generation", "planRevision", "provider")}
        body = json.dumps(named | {"service": "provisioner"} | said).encode()
        subject = f"kaito.report.provisioner-acme.{demand['namespace']}.{demand['name']}"
        await self.js.publish(subject, body, stream="HISTORY")

    async def newest(self, stream: str, subject: str) -> dict[str, object] | None:
        """The newest message on a subject."""
        try:
            raw = await self.js.get_last_msg(stream, subject)
        except nats.js.errors.NotFoundError:
            return None
        found = json.loads(raw.data or b"")
        return found if isinstance(found, dict) else None


def workspace() -> WorkspaceState:
    return WorkspaceState(
        namespace="default",
        name="w",
        uid="3c8f",
        generation=1,
        resource_version="1",
        spec=WorkspaceSpec(
            resource=Resource(label_selector=LabelSelector(match_labels={"apps": "w"})),
            inference=Inference(preset=Preset(name="phi-3-mini-4k-instruct")),
        ),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def connected(server: NatsServer) -> AsyncIterator[Foreigner]:
    client = await nats.connect(server.url)
    try:
        yield Foreigner(client.jetstream())
    finally:
        await client.close()


@pytest.fixture
async def foreigner(bus: Bus, nats_server: NatsServer) -> AsyncIterator[Foreigner]:
    """A client that has offered, beside a scheduler that runs."""
    made = service("scheduler", nats_server)
    await wire(made)
    async with connected(nats_server) as client, running(made):
        await client.offer()
        await Topology(bus.js, Metrics()).ensure()
        yield client


async def until(found: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(60):
        while not (value := await found()):
            await asyncio.sleep(0.02)
    return value


async def test_who_offers_is_given_demands_with_the_headers_of_the_contract(bus: Bus, foreigner: Foreigner) -> None:
    await bus.publish(workspace())
    message = await foreigner.next_demand()
    demand = json.loads(message.data)
    assert message.subject == "kaito.demand.acme.default.w"
    assert (demand["uid"], demand["instanceType"], demand["nodes"], demand["planRevision"]) == ("3c8f", "small", 1, 1)
    assert demand["labels"]["apps"] == "w"
    headers = message.headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "sh.kaito.Demand.v1"
    assert headers["ce-source"] == "/kaitobus/scheduler"
    assert headers["ce-subject"] == "default/w"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", headers["traceparent"])


async def test_its_report_of_a_refusal_moves_the_workspace_to_the_next_offer(bus: Bus, foreigner: Foreigner) -> None:
    await bus.publish(workspace())
    demand = json.loads((await foreigner.next_demand()).data)
    await foreigner.report(demand, failure={"code": "QuotaExceeded", "message": "no more of small for you"})
    second = json.loads((await foreigner.next_demand()).data)
    assert (second["instanceType"], second["planRevision"]) == ("large", 2)
    plan = await until(lambda: foreigner.newest("PLANS", "kaito.plan.default.w"))
    assert plan is not None
    assert "no more of small for you" in str(plan["plan"])


async def test_its_word_that_all_is_let_go_lets_a_deleted_workspace_go(bus: Bus, foreigner: Foreigner) -> None:
    await bus.publish(workspace())
    demand = json.loads((await foreigner.next_demand()).data)
    await bus.publish(workspace().model_copy(update={"deleting": True, "resource_version": "2"}))
    await until(lambda: is_retired(foreigner))
    await say_that_the_workload_is_gone(foreigner, demand)
    last = json.loads((await foreigner.next_demand()).data)
    assert last["nodes"] == 0
    await foreigner.report(last, released=True)
    await until(lambda: is_released(foreigner))


async def is_retired(foreigner: Foreigner) -> bool:
    plan = await foreigner.newest("PLANS", "kaito.plan.default.w")
    return bool(plan and plan.get("retired"))


async def is_released(foreigner: Foreigner) -> bool:
    report = await foreigner.newest("REPORTS", "kaito.report.scheduler.default.w")
    return bool(report and report.get("released"))


async def say_that_the_workload_is_gone(foreigner: Foreigner, demand: dict[str, object]) -> None:
    """What the deployer would report."""
    named = {key: demand[key] for key in ("namespace", "name", "uid", "generation", "planRevision")}
    body = json.dumps(named | {"service": "deployer", "released": True}).encode()
    await foreigner.js.publish("kaito.report.deployer.default.w", body, stream="HISTORY")
