"""The bus: FastStream on NATS JetStream, with publishing that cannot lose and handling that cannot drop.

A handler is given a parsed message and returns None (done) or `Again` (show it to me later). What it
raises is turned into a paced new try; what cannot be parsed goes to the dead letter queue with its error.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from faststream import AckPolicy
from faststream.nats import JStream, PullSub
from faststream.nats.message import NatsMessage
from faststream.nats.subscriber.usecases import LogicSubscriber
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import PubAck, RawStreamMsg
from nats.js.errors import APIError, NotFoundError
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from services.chassis.bus_connection import TIMEOUT, Connection
from services.chassis.drop import drop, newest
from services.chassis.metrics import Metrics
from services.chassis.offer_bucket import read_offers
from services.chassis.pulls import FETCH_SECONDS, Pulls
from services.chassis.settings import Settings
from services.chassis.settle import Again, Outdated, UnreadableObject, readable
from services.chassis.telemetry import Telemetry
from services.contracts.messages import Demand, Message, PlanState, Report, WorkspaceState
from services.contracts.offers import Offers
from services.contracts.subjects import OFFERS_BUCKET, Stream

log = logging.getLogger(__name__)

REMEMBERED: Final = 50_000
"""Subjects that a process keeps in mind as used."""
WRONG_LAST_SEQUENCE: Final = 10071
"""JetStream's error code for a compare-and-set that lost."""

M = TypeVar("M", bound=Message)
Handler = Callable[[M], Awaitable[Again | None]]

_STREAM_OF: Final[dict[type[Message], Stream]] = {
    WorkspaceState: Stream.WORKSPACES,
    PlanState: Stream.PLANS,
    Demand: Stream.DEMANDS,
    Report: Stream.REPORTS,
}


@dataclass(frozen=True)
class Subscription:
    """A consumer that this process pulls from."""

    stream: Stream
    durable: str
    subscriber: LogicSubscriber[Msg]
    pulls: Pulls

    def problem(self, reconnects: int) -> str | None:
        """What keeps this process from getting messages; `reconnects` is the connection's."""
        found = self.subscriber.subscription
        return self.pulls.problem(found if isinstance(found, JetStreamContext.PullSubscription) else None, reconnects)


@dataclass(frozen=True)
class Last(Generic[M]):
    """The newest message on a subject, and the number by which a compare-and-set names it (0: none yet)."""

    message: M | None
    sequence: int


class Bus(Connection):
    """What a process says and hears over its connection to NATS."""

    def __init__(self, settings: Settings, telemetry: Telemetry, metrics: Metrics) -> None:
        super().__init__(settings, telemetry.service, metrics)
        self._telemetry = telemetry
        self._metrics = metrics
        self._workers = settings.workers
        self.subscriptions: list[Subscription] = []
        self._used: set[str] = set()

    # -- publishing

    async def publish(self, message: Message, *, expect: int | None = None) -> int:
        """Publish a state into HISTORY and wait until it is kept there; returns its sequence.

        `expect` is the `Last.sequence` that the message was decided on. Raises `Outdated` if somebody
        published in between, and nats-py's errors if the server is away.
        """
        return int((await self._publish(message, expect)).seq)

    async def _publish(self, message: Message, expect: int | None) -> PubAck:
        headers = self._headers(message)
        if expect is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expect)
            # A state may come back to what it was within the window in which the server drops repetitions.
            headers["Nats-Msg-Id"] += f":after-{expect}"
        kind = type(message).__name__
        with self._telemetry.span(f"send {kind}", message, kind=SpanKind.PRODUCER):
            headers |= self._telemetry.inject(message)
            try:
                ack = await self.js.publish(
                    message.subject, message.to_json(), stream=Stream.HISTORY, headers=headers, timeout=TIMEOUT
                )
            except APIError as error:
                self._metrics.published.labels(kind, "refused").inc()
                if error.err_code == WRONG_LAST_SEQUENCE:
                    raise Outdated(message.subject) from error
                raise
        self._metrics.published.labels(kind, "duplicate" if ack.duplicate else "kept").inc()
        return ack

    def _headers(self, message: Message) -> dict[str, str]:
        """CloudEvents 1.0 attributes as `ce-` headers, and the id by which the server knows repetitions."""
        return {
            "Nats-Msg-Id": message.message_id,
            "ce-specversion": "1.0",
            "ce-id": message.message_id,
            "ce-type": f"sh.kaito.{type(message).__name__}.v1",
            "ce-source": f"/kaitobus/{self._telemetry.service}",
            "ce-subject": f"{message.namespace}/{message.name}",
            "ce-datacontenttype": "application/json",
        }

    async def publish_first(self, message: Message) -> bool:
        """Publish if nothing was ever published on the subject; False if something was.

        A subject that this process has not met is mostly new, and to ask first would cost as much again.
        """
        if message.subject in self._used:
            return False
        if len(self._used) >= REMEMBERED:
            self._used.clear()
        self._used.add(message.subject)
        try:
            # The server takes a repetition within its window for kept, whatever was published in between.
            return not (await self._publish(message, 0)).duplicate
        except Outdated:
            return False

    # -- reading

    async def last(self, kind: type[M], subject: str) -> Last[M]:
        """The newest message on a subject, for a compare-and-set.

        Both come from HISTORY, from one message: the stream of the newest is a copy, which lags behind, and
        what is decided on an older message must not be accepted under the number of a newer one. Only what
        HISTORY has dropped for its age is taken from the copy.
        """
        raw = await self._raw(Stream.HISTORY, subject)
        if raw is None:
            return Last(await self.newest(kind, subject), 0)
        return Last(_parsed(kind, raw), int(raw.seq or 0))

    async def newest(self, kind: type[M], subject: str) -> M | None:
        """The newest message on a subject, without the number for a compare-and-set.

        One that cannot be read counts as none: its consumer has put it aside, and its sender writes over it.
        """
        raw = await self._raw(_STREAM_OF[kind], subject)
        return None if raw is None else _parsed(kind, raw)

    async def subjects(self, kind: type[Message]) -> list[str]:
        """All subjects that have a newest message of that kind."""
        info = await self.js.stream_info(_STREAM_OF[kind], subjects_filter=">")
        return sorted(info.state.subjects or {})

    async def _raw(self, stream: Stream, subject: str) -> RawStreamMsg | None:
        try:
            return await self.js.get_last_msg(stream, subject, direct=True)
        except NotFoundError:
            return None

    async def forget(self, kind: type[M], subject: str, uid: str, meant: Callable[[M], bool] = lambda _: True) -> None:
        """Drop the newest message on a subject if it is of that workspace, and meant; HISTORY keeps its copy.

        One that comes meanwhile stays.
        """
        stream = _STREAM_OF[kind]
        raw = await newest(self.client, stream, subject)
        message = None if raw is None else _parsed(kind, raw)
        if raw is not None and message is not None and message.uid == uid and meant(message):
            await drop(self.client, stream, subject, int(raw.seq or 0))

    # -- offers

    async def offer(self, offers: Offers) -> None:
        """Put what a provider offers into the bucket, under its name."""
        bucket = await self.js.key_value(OFFERS_BUCKET)
        await bucket.put(offers.provider, offers.to_json())

    async def offers(self, *, younger_than: float = math.inf) -> tuple[Offers, ...]:
        """What all providers have put there within so many seconds, sorted by name."""
        return await read_offers(self.client, self.js, younger_than)

    # -- handling

    def handle(
        self,
        kind: type[M],
        stream: Stream,
        durable: str,
        subject: str,
        handler: Handler[M],
        *,
        workers: int | None = None,
    ) -> None:
        """Pull messages of that kind from a durable consumer, some at a time, and give them to the handler.

        `workers` (by default the setting) is how many are in the handler's hands at once: more where it bounds
        itself what it does at the same time.
        """
        workers = workers or self._workers
        subscriber = self.broker.subscriber(
            subject,
            stream=JStream(stream, declare=False),
            durable=durable,
            pull_sub=PullSub(batch_size=workers, timeout=FETCH_SECONDS),
            max_workers=workers,
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
        )

        pulls = Pulls(workers)

        async def consume(message: NatsMessage) -> Again | None:
            body = kind.model_validate_json(message.body)
            span = self._telemetry.span(f"process {kind.__name__}", body, message.headers, SpanKind.CONSUMER)
            with pulls.at_work(), span:
                try:
                    return await handler(body)
                except ValidationError as error:
                    # The message itself has been read. What the handler looked at may be readable later.
                    raise UnreadableObject(readable(error)) from error

        subscriber(consume)
        self.subscriptions.append(Subscription(stream, durable, subscriber, pulls))


async def _undecoded(message: NatsMessage) -> NatsMessage:
    """Leaves the body as it is: the model reads the bytes themselves."""
    return message


def _parsed(kind: type[M], raw: RawStreamMsg) -> M | None:
    try:
        return kind.model_validate_json(raw.data or b"")
    except ValidationError as error:
        log.warning("the newest message cannot be read", extra={"subject": raw.subject, "reason": readable(error)})
        return None
