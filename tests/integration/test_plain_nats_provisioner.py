"""The example that knows nothing of Kaito Bus but the published contract, as a process on a real nats-server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from nats.js.errors import NotFoundError

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts.identity import short_uid
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName, Stream, dead_letter, demand, provisioner_consumer, report
from tests.integration.conftest import NatsServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "provisioners" / "plain_nats.py"
UNREADABLE = b'{"uid": "u", "nodes": "many"}'
SUBJECT = report(ServiceName.PROVISIONER, "team", "w", "rack")


def wanted(nodes: int, revision: int = 1, uid: str = "uid-1") -> Demand:
    return Demand(
        namespace="team", name="w", uid=uid, generation=1, plan_revision=revision, provider="rack",
        nodes=nodes, instance_type="rack.l4",
    )  # fmt: skip


@asynccontextmanager
async def example(server: NatsServer) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example as a process; killed at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), server.url)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def topology(bus: Bus) -> AsyncIterator[None]:
    """The watcher's part: a consumer for whoever offers."""

    async def own() -> None:
        while True:
            await Topology(bus.js, Metrics()).ensure()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(own())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(found: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await found():
            await asyncio.sleep(0.05)


async def reported(bus: Bus, fits: Callable[[Report], bool]) -> Report:
    said: list[Report] = []

    async def look() -> bool:
        message = (await bus.last(Report, SUBJECT)).message
        said[:] = [message] if message else []
        return bool(said) and fits(said[0])

    await until(look)
    return said[0]


async def reports_kept(bus: Bus) -> int:
    info = await bus.js.stream_info(Stream.HISTORY, subjects_filter=SUBJECT)
    return int((info.state.subjects or {}).get(SUBJECT, 0))


async def consumer_is_there(bus: Bus) -> bool:
    try:
        await bus.js.consumer_info(Stream.DEMANDS, provisioner_consumer("rack"))
    except NotFoundError:
        return False
    return True


async def test_it_offers_and_is_given_a_consumer(nats_server: NatsServer, bus: Bus, topology: None) -> None:
    async with example(nats_server):
        await until(lambda: consumer_is_there(bus))
    (offers,) = await bus.offers()
    assert (offers.provider, offers.simulated) == ("rack", True)
    assert [offer.instance_type for offer in offers.offers] == ["rack.l4"]
    assert datetime.now(UTC) - offers.published_at < timedelta(seconds=30)


async def test_demands_are_met_and_let_go_of(nats_server: NatsServer, bus: Bus, topology: None) -> None:
    async with example(nats_server):
        await bus.publish(wanted(2))
        said = await reported(bus, lambda r: len(r.nodes) == 2)
        assert [node.name for node in said.nodes] == [f"rack-{short_uid('uid-1')}-{i}" for i in range(2)]
        assert [str(condition.type) for condition in said.conditions] == [
            "NodeClaimReady",
            "NodesReady",
            "ResourceReady",
        ]
        assert all(condition.is_true for condition in said.conditions)

        await bus.publish(wanted(1, 2))
        await reported(bus, lambda r: r.plan_revision == 2 and len(r.nodes) == 1)
        await bus.publish(wanted(0, 3))
        await reported(bus, lambda r: r.released and r.nodes == ())


async def test_what_it_sends_is_what_the_published_schemas_say(
    nats_server: NatsServer, bus: Bus, topology: None
) -> None:
    async with example(nats_server):
        await bus.publish(wanted(1))
        await reported(bus, lambda r: len(r.nodes) == 1)
    raw = await bus.js.get_last_msg(Stream.REPORTS, SUBJECT, direct=True)
    offers = await (await bus.js.key_value("OFFERS")).get("rack")
    for name, body in (("report", raw.data), ("offers", offers.value)):
        schema = json.loads((ROOT / "docs" / "contract" / "schemas" / f"{name}.schema.json").read_text())
        Draft202012Validator(schema).validate(json.loads(body))


async def test_killed_and_started_again_it_says_nothing_twice(
    nats_server: NatsServer, bus: Bus, topology: None
) -> None:
    async with example(nats_server):
        await bus.publish(wanted(2))
        before = await reported(bus, lambda r: len(r.nodes) == 2)
    async with example(nats_server):
        await bus.publish(wanted(2, 2))
        after = await reported(bus, lambda r: r.plan_revision == 2)
    assert after.nodes == before.nodes
    assert await reports_kept(bus) == 2


async def test_a_demand_that_cannot_be_read_is_put_aside_and_the_next_is_met(
    nats_server: NatsServer, bus: Bus, topology: None
) -> None:
    broken = demand("rack", "team", "broken")
    async with example(nats_server):
        await bus.js.publish(broken, UNREADABLE, stream=Stream.HISTORY)
        await bus.publish(wanted(1))
        await reported(bus, lambda r: len(r.nodes) == 1)
    letter = await bus.js.get_last_msg(Stream.DLQ, dead_letter("provisioner", broken), direct=True)
    assert letter.data == UNREADABLE
    assert "cannot be interpreted as an integer" in (letter.headers or {})["Kaito-Error"]
