"""The command line reads HISTORY and the DLQ of a real server, and gives dead letters a second life."""

from __future__ import annotations

import pytest
from nats.js import JetStreamContext

from services.chassis.bus import Bus
from services.cli.errors import CliError
from services.cli.history import lives, read_entries, subject_filters
from services.cli.letters import Letter, read_letter
from services.cli.retry import get_letter, publish_again
from services.cli.streams import read_stream
from services.contracts.subjects import Stream, dead_letter
from services.contracts.subjects import plan as plan_subject
from tests.unit.cli_samples import applied, demanded, planned

SUBJECT = plan_subject("default", "phi")
HEADERS = {"Kaito-Error": "no", "Kaito-Error-Type": "Poison", "Kaito-Original-Subject": SUBJECT, "ce-id": "7"}


async def letters(js: JetStreamContext) -> list[Letter]:
    return [read_letter(stored) async for stored in read_stream(js, Stream.DLQ, ["kaito.dlq.>"])]


async def bury(js: JetStreamContext, body: bytes) -> Letter:
    """Put a message aside as a service does."""
    ack = await js.publish(dead_letter("deployer", SUBJECT), body, headers=HEADERS)
    return await get_letter(js, ack.seq)


async def test_a_workspaces_messages_are_read_from_history_and_no_others(bus: Bus) -> None:
    for message in (applied(), planned(), demanded(), planned(generation=2)):
        await bus.publish(message)
    await bus.publish(planned().model_copy(update={"name": "other"}))

    stored = [s.message async for s in read_stream(bus.js, Stream.HISTORY, subject_filters("default", "phi"))]

    assert [entry.message for entry in read_entries(stored)] == [
        applied(),
        planned(),
        demanded(),
        planned(generation=2),
    ]
    assert [life.generation for life in lives(read_entries(stored))] == [1, 2]


async def test_reading_leaves_no_consumer_behind(bus: Bus) -> None:
    before = len(await bus.js.consumers_info(Stream.HISTORY))
    await bus.publish(applied())

    assert [_ async for _ in read_stream(bus.js, Stream.HISTORY, subject_filters("default", "phi"))]
    assert len(await bus.js.consumers_info(Stream.HISTORY)) == before


async def test_an_empty_queue_is_read_as_empty(bus: Bus) -> None:
    assert await letters(bus.js) == []


async def test_more_messages_than_one_batch_are_all_read(bus: Bus) -> None:
    for number in range(600):
        await bus.js.publish(dead_letter("deployer", SUBJECT), str(number).encode())

    assert [letter.body for letter in await letters(bus.js)] == [str(number).encode() for number in range(600)]


async def test_a_letter_is_published_again_where_nothing_newer_is(bus: Bus) -> None:
    await bus.js.publish(SUBJECT, b"{not json")
    letter = await bury(bus.js, b"{not json")

    await publish_again(bus.js, letter)

    newest = await bus.js.get_last_msg(Stream.HISTORY, SUBJECT)
    assert (newest.seq, newest.data, (newest.headers or {})["ce-id"]) == (2, b"{not json", "7")


async def test_a_letter_never_takes_the_place_of_a_newer_state(bus: Bus) -> None:
    letter = await bury(bus.js, b"{not json")
    await bus.publish(planned())

    with pytest.raises(CliError, match="out of date"):
        await publish_again(bus.js, letter)

    assert (await bus.js.get_last_msg(Stream.HISTORY, SUBJECT)).data == planned().to_json()


async def test_a_number_that_is_not_there_is_said_so(bus: Bus) -> None:
    with pytest.raises(CliError, match="has no message 5"):
        await get_letter(bus.js, 5)
