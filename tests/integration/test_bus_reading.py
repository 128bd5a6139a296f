"""Reading the newest on a subject: what a compare-and-set is decided on, and what cannot be read."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.settle import Outdated
from services.chassis.telemetry import Telemetry
from services.chassis.topology import Topology
from services.contracts.messages import Report
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer
from tests.integration.test_bus import report, running, scheduler, state, until

SUBJECT = report().subject


async def kept(bus: Bus, wanted: Report) -> None:
    async with asyncio.timeout(60):
        while await bus.newest(Report, SUBJECT) != wanted:
            await asyncio.sleep(0.005)


async def unreadable(bus: Bus) -> None:
    await bus.js.publish(SUBJECT, b"{not json")
    async with asyncio.timeout(60):
        while (await bus.js.stream_info(Stream.REPORTS)).state.messages == 0:
            await asyncio.sleep(0.005)


async def test_the_message_and_the_number_for_a_compare_and_set_belong_together(bus: Bus) -> None:
    await bus.js.delete_stream(Stream.REPORTS)  # the copy lags behind for as long as it takes to make it again
    sequence = await bus.publish(report(endpoint="first"))
    last = await bus.last(Report, SUBJECT)
    assert (last.message, last.sequence) == (report(endpoint="first"), sequence)


async def test_who_decided_on_an_older_message_is_refused(bus: Bus) -> None:
    await bus.publish(report(endpoint="first"))
    last = await bus.last(Report, SUBJECT)
    await bus.publish(report(endpoint="second"))
    with pytest.raises(Outdated):
        await bus.publish(report(endpoint="third"), expect=last.sequence)


async def test_a_message_that_history_dropped_for_its_age_is_still_the_newest(bus: Bus) -> None:
    await bus.publish(report(endpoint="old"))
    await kept(bus, report(endpoint="old"))
    await bus.js.purge_stream(Stream.HISTORY)
    last = await bus.last(Report, SUBJECT)
    assert last.message == report(endpoint="old")
    await bus.publish(report(endpoint="new"), expect=last.sequence)
    await kept(bus, report(endpoint="new"))


async def test_what_cannot_be_read_counts_as_nothing_and_is_written_over(bus: Bus) -> None:
    await unreadable(bus)
    assert await bus.newest(Report, SUBJECT) is None
    assert (await bus.last(Report, SUBJECT)).message is None
    await bus.publish(report(), expect=(await bus.last(Report, SUBJECT)).sequence)
    await kept(bus, report())


async def test_what_cannot_be_read_is_nobodys_to_forget(bus: Bus) -> None:
    await unreadable(bus)
    await bus.forget(Report, SUBJECT, "uid-w")


async def test_a_handler_that_cannot_read_something_else_does_not_lose_its_message(
    bus: Bus, nats_server: NatsServer
) -> None:
    tries: list[int] = []

    def fails_once(_: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            Report.model_validate({"name": "an object that the handler looked at"})

    async with running(scheduler(nats_server, fails_once)):
        await bus.publish(state())
        await until(lambda: len(tries) == 2)
    assert (await bus.js.stream_info(Stream.DLQ)).state.messages == 0


async def test_when_history_alone_was_deleted_new_messages_arrive_all_the_same(bus: Bus) -> None:
    for number in range(20):
        await bus.publish(report(endpoint=str(number)))
    await kept(bus, report(endpoint="19"))
    await bus.js.delete_stream(Stream.HISTORY)
    assert await Topology(bus.js, Metrics()).ensure()
    await bus.publish(report(endpoint="after"))
    await kept(bus, report(endpoint="after"))


async def test_a_first_message_is_published_without_asking_and_only_once(bus: Bus) -> None:
    assert await bus.publish_first(report())
    assert not await bus.publish_first(report(endpoint="second"))
    assert (await bus.last(Report, SUBJECT)).message == report()


async def test_a_process_that_started_anew_does_not_take_its_own_repetition_for_a_first_message(
    bus: Bus, nats_server: NatsServer
) -> None:
    for endpoint in ("a", "b"):
        await bus.publish(report(endpoint=endpoint))
    anew = Bus(Settings(nats_url=nats_server.url), Telemetry(None, "test"), Metrics())
    await anew.connect()
    for endpoint in ("b", "a"):
        assert not await anew.publish_first(report(endpoint=endpoint))
    assert (await anew.last(Report, SUBJECT)).message == report(endpoint="b")
    await anew.close()
