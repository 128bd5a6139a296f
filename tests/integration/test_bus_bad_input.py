"""What others put on the bus by mistake: it harms nobody but its sender."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology, offering
from services.contracts.messages import WorkspaceState
from services.contracts.offers import Offers
from services.contracts.subjects import OFFERS_BUCKET, Stream
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running, scheduler, state, until
from tests.stack import AT_ONCE

GOOD = Offers(provider="good", published_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_provider_whose_offers_cannot_be_read_harms_no_other(bus: Bus) -> None:
    bucket = await bus.js.key_value(OFFERS_BUCKET)
    await bucket.put("broken", b"{")
    await bucket.put("other", GOOD.to_json())
    await bus.offer(GOOD)
    assert await bus.offers() == (GOOD,)


async def test_a_bucket_that_is_gone_means_that_nobody_offers(bus: Bus) -> None:
    await bus.js.delete_key_value(OFFERS_BUCKET)
    assert await bus.offers() == ()


async def test_a_provider_whose_name_fits_no_subject_is_passed_over(bus: Bus) -> None:
    bucket = await bus.js.key_value(OFFERS_BUCKET)
    await bucket.put("My.Cloud", b"{}")
    await bus.offer(GOOD)
    assert await offering(bus.js) == ["good"]
    await Topology(bus.js, Metrics()).ensure()
    assert await bus.js.consumer_info(Stream.DEMANDS, "provisioner-good")


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[1]", b'"text"', b"1", b"null", b"", b"\xff", b"9" * 5000])
async def test_any_body_that_is_no_message_is_put_aside(bus: Bus, nats_server: NatsServer, body: bytes) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)):
        await bus.js.publish("kaito.workspace.default.bad", body)
        await bus.publish(state())
        await until(lambda: seen == [state()])
        async with asyncio.timeout(60):
            while (await bus.js.stream_info(Stream.DLQ)).state.messages != 1:
                await asyncio.sleep(0.02)


async def test_a_message_is_not_lost_while_the_dead_letters_have_no_place(bus: Bus, nats_server: NatsServer) -> None:
    await bus.js.delete_stream(Stream.DLQ)
    async with running(scheduler(nats_server, lambda _: None)):
        await bus.js.publish("kaito.workspace.default.bad", b"{")
        async with asyncio.timeout(60):
            while not (await bus.js.consumer_info(Stream.WORKSPACES, "scheduler-workspaces")).num_ack_pending:
                await asyncio.sleep(0.02)
        await Topology(bus.js, Metrics()).ensure()
        async with asyncio.timeout(30):
            while (await bus.js.stream_info(Stream.DLQ)).state.messages != 1:
                await asyncio.sleep(0.1)


async def test_a_service_ends_at_once_when_a_part_of_it_fails_while_nats_is_away(nats_server: NatsServer) -> None:
    await nats_server.kill()
    made = service("scheduler", nats_server)

    async def fail() -> None:
        raise OSError("no such port")

    made.tasks.append(fail)
    began = time.monotonic()
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(made.run(), 20)
    assert time.monotonic() - began < AT_ONCE


async def test_what_is_worked_on_is_finished_at_the_end_and_the_end_comes_soon(
    bus: Bus, nats_server: NatsServer
) -> None:
    for number in range(500):
        await bus.publish(state(name=f"w{number}"))
    seen: list[WorkspaceState] = []
    before = len(asyncio.all_tasks())
    async with running(scheduler(nats_server, seen.append)):
        await until(lambda: bool(seen))
        began = time.monotonic()
    assert time.monotonic() - began < AT_ONCE
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.05)
