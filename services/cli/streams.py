"""Reads messages out of a JetStream stream, without leaving a consumer behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg

from services.cli.history import BusMessage

_BATCH = 256
_FETCH_SECONDS = 5.0
_FORGET_AFTER = 30.0
"""Seconds after which the server drops the consumer by itself, should this program be killed."""


class Stored(NamedTuple):
    """A message of a stream with its headers."""

    message: BusMessage
    headers: dict[str, str]


async def read_stream(js: JetStreamContext, stream: str, subjects: Sequence[str]) -> AsyncIterator[Stored]:
    """All messages on these subjects that are there now, oldest first. Raises what nats-py raises."""
    config = ConsumerConfig(
        filter_subjects=list(subjects),
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.ALL,
        inactive_threshold=_FORGET_AFTER,
        mem_storage=True,
    )
    info = await js.add_consumer(stream, config)
    left = info.num_pending or 0
    try:
        subscription = await js.pull_subscribe_bind(info.name, stream=stream)
        while left > 0:
            batch = await subscription.fetch(min(_BATCH, left), timeout=_FETCH_SECONDS)
            left -= len(batch)
            for message in batch:
                yield _stored(message)
    finally:
        await js.delete_consumer(stream, info.name)


def _stored(message: Msg) -> Stored:
    metadata = message.metadata
    read = BusMessage(
        sequence=metadata.sequence.stream, subject=message.subject, time=metadata.timestamp, body=message.data
    )
    return Stored(read, dict(message.headers or {}))


def from_raw(raw: RawStreamMsg) -> Stored:
    """The same for a message that was asked for by its number."""
    time = raw.time or datetime.fromtimestamp(0, UTC)
    read = BusMessage(sequence=raw.seq or 0, subject=raw.subject or "", time=time, body=raw.data or b"")
    return Stored(read, dict(raw.headers or {}))
