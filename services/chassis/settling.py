"""The FastStream middleware that carries out `settle`: acknowledges, asks again, or puts aside."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import nats.errors
from faststream import BaseMiddleware
from faststream.message import StreamMessage
from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg

from services.chassis.cancellation import raise_if_cancelled
from services.chassis.letter import fitted
from services.chassis.metrics import Metrics
from services.chassis.settle import Ack, DeadLetter, Nak, Settlement, readable, settle
from services.chassis.topology import ACK_WAIT
from services.contracts.subjects import Stream, dead_letter

log = logging.getLogger(__name__)

Next = Callable[[StreamMessage[Msg]], Awaitable[object]]
"""The rest of FastStream's chain, the handler at its end."""

ADDED: Final = 1024
"""Bytes for the headers that FastStream and JetStream add to what is published."""
REMEMBERED: Final = 10_000
"""How many subjects' failures in a row one process keeps in mind."""


class Failures:
    """Failed tries in a row by subject. Bounded: the oldest are forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def count(self, subject: str) -> int:
        """The failures so far."""
        return self._counts.get(subject, 0)

    def note(self, subject: str, *, failed: bool) -> None:
        """Count a failure, or forget them after a success."""
        if not failed:
            self._counts.pop(subject, None)
            return
        self._counts[subject] = self.count(subject) + 1
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)


class Settler:
    """Settles the messages of one process. Given to FastStream as a middleware through `middleware()`."""

    def __init__(self, service: str, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._failures = Failures()
        self.broker: NatsBroker | None = None

    def middleware(self) -> Callable[..., BaseMiddleware[Msg, Msg]]:
        """What to give to `NatsBroker(middlewares=[...])`."""
        settler = self

        class Settle(BaseMiddleware[Msg, Msg]):
            async def consume_scope(self, call_next: Next, msg: StreamMessage[Msg]) -> None:
                if isinstance(msg, NatsMessage):
                    await settler.handle_guarded(call_next, msg)

        return Settle

    async def handle_guarded(self, call_next: Next, message: NatsMessage) -> None:
        """As `handle`; if settling itself fails, say so: FastStream would be silent. The server asks again."""
        try:
            await self.handle(call_next, message)
        except Exception:
            log.exception("a message could not be settled", extra={"subject": message.raw_message.subject})

    async def handle(self, call_next: Next, message: NatsMessage) -> None:
        """Run the handler on a message and do with the message what its result asks for."""
        metadata = message.raw_message.metadata
        subject, consumer = message.raw_message.subject, str(metadata.consumer)
        self._observe_arrival(consumer, int(metadata.num_delivered), metadata.timestamp)
        began = time.perf_counter()
        async with _kept(message):
            result, error = await _attempt(call_next, message)
        self._metrics.duration.labels(consumer).observe(time.perf_counter() - began)
        settlement = settle(result, error, self._failures.count(subject))
        self._failures.note(subject, failed=isinstance(settlement, Nak) and settlement.failed)
        self._tell(consumer, subject, settlement, error)
        await self._carry_out(message, settlement, consumer)

    def _observe_arrival(self, consumer: str, delivered: int, published: datetime) -> None:
        if delivered > 1:
            self._metrics.redelivered.labels(consumer).inc()
        else:
            self._metrics.hop.labels(consumer).observe(max(0.0, (datetime.now(UTC) - published).total_seconds()))

    def _tell(self, consumer: str, subject: str, settlement: Settlement, error: Exception | None) -> None:
        outcome = type(settlement).__name__.lower()
        if error is not None and isinstance(settlement, Nak) and settlement.failed:
            outcome = "failed"
            known = isinstance(error, (OSError, TimeoutError, nats.errors.Error)) or getattr(error, "passes", False)
            log.warning(
                "handling failed, will try again",
                exc_info=None if known else error,
                extra={"subject": subject, "delay": round(settlement.delay, 2), "reason": readable(error)},
            )
        self._metrics.handled.labels(consumer, outcome).inc()

    async def _carry_out(self, message: NatsMessage, settlement: Settlement, consumer: str) -> None:
        if isinstance(settlement, Ack):
            await message.ack()
        elif isinstance(settlement, Nak):
            await message.nack(delay=settlement.delay)
        else:
            await self._bury(message, settlement)
            self._metrics.dead_letters.labels(consumer).inc()
            await message.reject()

    async def _bury(self, message: NatsMessage, letter: DeadLetter) -> None:
        """Copy the message to the dead letter queue as it came, or what fits of it, with what was wrong with it."""
        raw = message.raw_message
        own = {k: v for k, v in (raw.headers or {}).items() if not k.startswith("Nats-")}
        why = {
            "Kaito-Error": " ".join(letter.error.split())[:2000],
            "Kaito-Error-Type": letter.error_type,
            "Kaito-Original-Subject": raw.subject,
            "Kaito-Delivered": str(raw.metadata.num_delivered),
        }
        log.error("message put aside", extra={"subject": raw.subject, "reason": letter.error})
        if self.broker is not None:
            body, headers = fitted(raw.data, own, why, _largest(self.broker) - ADDED)
            await self.broker.publish(
                body, dead_letter(self._service, raw.subject), headers=headers, stream=Stream.DLQ, timeout=5
            )


def _largest(broker: NatsBroker) -> int:
    """Bytes that the server takes as one message."""
    return int(broker.config.broker_config.connection_state.connection.max_payload)


@asynccontextmanager
async def _kept(message: NatsMessage) -> AsyncIterator[None]:
    """Tell the server now and then that the message is worked on, or it gives it to somebody else after ACK_WAIT."""

    async def tell() -> None:
        while True:
            raise_if_cancelled()
            await asyncio.sleep(ACK_WAIT / 3)
            with suppress(nats.errors.Error):
                await message.in_progress()

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


async def _attempt(call_next: Next, message: NatsMessage) -> tuple[object, Exception | None]:
    """Call the handler."""
    try:
        return await call_next(message), None
    except Exception as error:
        return None, error
