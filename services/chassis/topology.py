"""The streams and consumers, declared once. Their one owner makes and mends them; services only bind.

Messages are published into HISTORY, which keeps them all for a week; the other streams are sourced from it
and keep the newest of each subject. The other way round loses history: a stream that keeps only the newest
drops messages before they can be copied from it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    KeyValueConfig,
    StorageType,
    StreamConfig,
    StreamSource,
)
from nats.js.errors import NotFoundError

from services.chassis.metrics import Metrics
from services.contracts.subjects import OFFERS_BUCKET, PREFIX, Stream, provisioner_consumer

log = logging.getLogger(__name__)

DAY: Final = 24 * 3600.0
DUPLICATE_WINDOW: Final = 120.0
ACK_WAIT: Final = 10.0
"""Seconds after which a message is given to somebody else, unless its handler says that it is still at it. So long
does what a killed process was working on wait."""
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
GIBIBYTE: Final = 1024**3

_NEWEST: Final[Mapping[Stream, str]] = {
    Stream.WORKSPACES: f"{PREFIX}.workspace.>",
    Stream.PLANS: f"{PREFIX}.plan.>",
    Stream.DEMANDS: f"{PREFIX}.demand.>",
    Stream.REPORTS: f"{PREFIX}.report.>",
}
"""The streams that keep the newest message of each subject, and what they take from HISTORY."""

CONSUMERS: Final[tuple[tuple[Stream, str, tuple[str, ...]], ...]] = (
    (Stream.WORKSPACES, "scheduler-workspaces", (f"{PREFIX}.workspace.>",)),
    (Stream.REPORTS, "scheduler-reports", (f"{PREFIX}.report.>",)),
    (Stream.PLANS, "deployer-plans", (f"{PREFIX}.plan.>",)),
    (Stream.REPORTS, "watcher-reports", (f"{PREFIX}.report.>",)),
)
"""Stream, durable name and subjects of each consumer that is always there; provisioners' come with their offers."""


def streams(replicas: int) -> tuple[StreamConfig, ...]:
    """All streams, the one that the others are sourced from first."""
    history = StreamConfig(
        name=Stream.HISTORY,
        subjects=list(_NEWEST.values()),
        max_age=7 * DAY,
        max_bytes=GIBIBYTE,
        duplicate_window=DUPLICATE_WINDOW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_direct=True,
    )
    letters = StreamConfig(
        name=Stream.DLQ,
        subjects=[f"{PREFIX}.dlq.>"],
        max_age=30 * DAY,
        max_bytes=GIBIBYTE,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_direct=True,
    )
    return (history, *(_newest(stream, subjects, replicas) for stream, subjects in _NEWEST.items()), letters)


def _newest(stream: Stream, subjects: str, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=stream,
        sources=[StreamSource(name=Stream.HISTORY, filter_subject=subjects)],
        max_msgs_per_subject=1,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_direct=True,
    )


def consumer(durable: str, subjects: Iterable[str]) -> ConsumerConfig:
    """A durable pull consumer. It never gives up on a message: retries are paced by the chassis."""
    return ConsumerConfig(
        name=durable,
        durable_name=durable,
        filter_subjects=list(subjects),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=50_000,
    )


def provisioner(provider: str) -> tuple[Stream, str, tuple[str, ...]]:
    """The consumer of one provider's demands."""
    return (Stream.DEMANDS, provisioner_consumer(provider), (f"{PREFIX}.demand.{provider}.>",))


async def offering(js: JetStreamContext) -> list[str]:
    """The names of all providers that have published offers, sorted. One request, however many there are.

    A name that does not fit a subject's token and a consumer's name is passed over.
    """
    prefix = f"$KV.{OFFERS_BUCKET}."
    info = await js.stream_info(f"KV_{OFFERS_BUCKET}", subjects_filter=f"{prefix}>")
    names = (subject.removeprefix(prefix) for subject in info.state.subjects or {})
    return sorted(name for name in names if _DNS_LABEL.fullmatch(name))


class Topology:
    """Makes what is missing and mends what differs. Run by one process at a time, harmless if by two."""

    def __init__(self, js: JetStreamContext, metrics: Metrics, replicas: int = 1) -> None:
        self._js = js
        self._metrics = metrics
        self._streams = streams(replicas)
        self._replicas = replicas

    async def ensure(self) -> bool:
        """Bring streams, consumers and the bucket to the declaration. True if a stream had to be made.

        Raises what nats-py raises when the server is away or refuses.
        """
        made = [await self._ensure_stream(config) for config in self._streams]
        if made[0]:
            made += [await self._make_copy_again(config) for config in self._streams[1:] if config.sources]
        made.append(await self._ensure_bucket())
        for stream, durable, subjects in (*CONSUMERS, *await self._provisioners()):
            await self._ensure_consumer(stream, consumer(durable, subjects))
        return any(made)

    async def _ensure_stream(self, wanted: StreamConfig) -> bool:
        try:
            info = await self._js.stream_info(str(wanted.name))
        except NotFoundError:
            await self._js.add_stream(wanted)
            self._repaired("stream", str(wanted.name), "made")
            return True
        if _differs(wanted, info.config):
            await self._js.update_stream(wanted)
            self._repaired("stream", str(wanted.name), "changed back")
        return False

    async def _make_copy_again(self, wanted: StreamConfig) -> bool:
        """Make a stream anew that is sourced from a HISTORY that was made anew.

        The server remembers in the copy how far it had read, and would skip as many messages of the new one.
        """
        info = await self._js.stream_info(str(wanted.name))
        if not info.state.last_seq:
            return False
        await self._js.delete_stream(str(wanted.name))
        return await self._ensure_stream(wanted)

    async def _ensure_bucket(self) -> bool:
        try:
            await self._js.key_value(OFFERS_BUCKET)
        except NotFoundError:
            await self._js.create_key_value(KeyValueConfig(bucket=OFFERS_BUCKET, replicas=self._replicas, direct=True))
            self._repaired("bucket", OFFERS_BUCKET, "made")
            return True
        return False

    async def _ensure_consumer(self, stream: Stream, wanted: ConsumerConfig) -> None:
        name = str(wanted.durable_name)
        try:
            info = await self._js.consumer_info(stream, name)
        except NotFoundError:
            info = None
        if info is None or _differs(wanted, info.config):
            await self._js.add_consumer(stream, wanted)
            self._repaired("consumer", name, "made" if info is None else "changed back")

    async def _provisioners(self) -> list[tuple[Stream, str, tuple[str, ...]]]:
        """A consumer for every provider that has published offers: whoever offers is served."""
        return [provisioner(provider) for provider in await offering(self._js)]

    def _repaired(self, kind: str, name: str, what: str) -> None:
        self._metrics.repairs.labels(kind).inc()
        log.info("%s %s %s", kind, name, what)


_STREAM_FIELDS = ("subjects", "max_age", "max_bytes", "max_msgs_per_subject", "duplicate_window", "num_replicas")
_CONSUMER_FIELDS = ("ack_wait", "max_deliver", "max_ack_pending")


def _differs(wanted: StreamConfig | ConsumerConfig, found: StreamConfig | ConsumerConfig | None) -> bool:
    """Whether a field that was asked for is not as asked. The server fills in the others."""
    if found is None:
        return True
    if isinstance(wanted, ConsumerConfig):
        return (
            _fields_differ(wanted, found, _CONSUMER_FIELDS)
            or not isinstance(found, ConsumerConfig)
            or _filters(wanted) != _filters(found)
        )
    return _fields_differ(wanted, found, _STREAM_FIELDS)


def _fields_differ(wanted: object, found: object, fields: Iterable[str]) -> bool:
    pairs = ((getattr(wanted, field), getattr(found, field)) for field in fields)
    return any(a and a != b for a, b in pairs)  # what is not set is the server's to choose


def _filters(config: ConsumerConfig) -> set[str]:
    """The filters of a consumer: the server gives a single one back in a field of its own."""
    single = [config.filter_subject] if config.filter_subject else []
    return {*(config.filter_subjects or ()), *single}
