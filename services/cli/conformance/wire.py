"""The suite's end of NATS: publishes demands, hears reports, reads offers and dead letters, cleans up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy, RawStreamMsg
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.chassis.bus_connection import TIMEOUT
from services.chassis.cancellation import raise_if_cancelled
from services.chassis.drop import drop_all, newest
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.cli.conformance.heard import Heard
from services.contracts.identity import traceparent
from services.contracts.messages import Demand
from services.contracts.subjects import (
    CONFORMANCE,
    OFFERS_BUCKET,
    PREFIX,
    ServiceName,
    Stream,
    provisioner_consumer,
    report,
)

MEND_EVERY: Final = 1.0
"""Seconds between two looks at the streams and consumers, where nobody else looks after them."""

Hear = Callable[[Heard], None]


class Wire:
    """What passes between the suite and one provider's provisioner. Raises what nats-py raises."""

    def __init__(self, client: Client, provider: str) -> None:
        self._client = client
        self._js = client.jetstream(timeout=TIMEOUT)
        self.provider = provider

    @asynccontextmanager
    async def topology(self) -> AsyncIterator[None]:
        """Streams, and the provisioner's consumer: made here where they are missing, else left to their owner."""
        if await self._is_there():
            yield
            return
        topology = Topology(self._js, Metrics())
        await topology.ensure()
        mending = asyncio.create_task(_mend(topology))
        try:
            yield
        finally:
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)

    async def _is_there(self) -> bool:
        try:
            await self._js.stream_info(Stream.HISTORY)
        except NotFoundError:
            return False
        return True

    async def has_consumer(self) -> bool:
        """Whether demands of this provider are given out."""
        try:
            await self._js.consumer_info(Stream.DEMANDS, provisioner_consumer(self.provider))
        except NotFoundError:
            return False
        return True

    @asynccontextmanager
    async def hearing(self, hear: Hear) -> AsyncIterator[None]:
        """Give every new report on the suite's workspaces to `hear`."""

        async def take(message: Msg) -> None:
            hear(Heard(message.subject, message.data, dict(message.headers or {}), message.metadata.timestamp))

        subject = report(ServiceName.PROVISIONER, CONFORMANCE, ">", self.provider)
        subscription = await self._js.subscribe(
            subject, stream=Stream.HISTORY, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW, cb=take
        )
        try:
            yield
        finally:
            await subscription.unsubscribe()

    async def offers(self) -> bytes | None:
        """The provider's entry in the bucket, as it stands there."""
        raw = await newest(self._client, f"KV_{OFFERS_BUCKET}", f"$KV.{OFFERS_BUCKET}.{self.provider}")
        return raw.data if raw and raw.data else None

    async def demand(self, wanted: Demand, *, again: int = 0) -> None:
        """Publish a demand as the scheduler does; `again` tells repetitions apart, which the server would drop."""
        unique = wanted.message_id + (f":again-{again}" if again else "")
        headers = {
            "Nats-Msg-Id": unique,
            "ce-specversion": "1.0",
            "ce-id": unique,
            "ce-type": "sh.kaito.Demand.v1",
            "ce-source": "/kaitobus/conformance",
            "ce-subject": f"{wanted.namespace}/{wanted.name}",
            "ce-datacontenttype": "application/json",
            "traceparent": traceparent(wanted.uid, wanted.generation),
        }
        await self._js.publish(wanted.subject, wanted.to_json(), stream=Stream.HISTORY, headers=headers)

    async def publish_raw(self, subject: str, body: bytes) -> None:
        """Publish a demand that is none."""
        await self._js.publish(subject, body, stream=Stream.HISTORY)

    async def dead_letter(self, subject: str) -> RawStreamMsg | None:
        """What was put aside last from that subject, by whichever service."""
        return await newest(self._client, Stream.DLQ, f"{PREFIX}.dlq.*.{subject}")

    async def forget_letters(self, subject: str) -> None:
        """Drop what was put aside from that subject."""
        await drop_all(self._client, Stream.DLQ, f"{PREFIX}.dlq.*.{subject}")

    async def stands(self, subject: str) -> bool:
        """Whether a demand still stands on the subject."""
        return await newest(self._client, Stream.DEMANDS, subject) is not None

    async def left_behind(self) -> list[Demand]:
        """The demands of runs of the suite that were cut off."""
        mine = f"{PREFIX}.demand.{self.provider}.{CONFORMANCE}.>"
        info = await self._js.stream_info(Stream.DEMANDS, subjects_filter=mine)
        found = [await newest(self._client, Stream.DEMANDS, subject) for subject in info.state.subjects or {}]
        return [demand for raw in found if raw and (demand := _demand(raw.data or b""))]

    async def forget(self, namespace: str, name: str, provider: str) -> None:
        """Drop demand and report of a workspace that is done with; HISTORY keeps its copies for its time."""
        where = f"{namespace}.{name}"
        await drop_all(self._client, Stream.DEMANDS, f"{PREFIX}.demand.{provider}.{where}")
        await drop_all(self._client, Stream.REPORTS, f"{PREFIX}.report.*.{where}")


def _demand(body: bytes) -> Demand | None:
    try:
        return Demand.model_validate_json(body)
    except ValueError:
        return None


async def _mend(topology: Topology) -> None:
    """What fails is tried again with the next look."""
    while True:
        raise_if_cancelled()
        with suppress(JetStreamError, nats.errors.Error, OSError, TimeoutError):
            await topology.ensure()
        await asyncio.sleep(MEND_EVERY)
