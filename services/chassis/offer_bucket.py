"""The bucket in which each provider keeps what it offers, under its own name."""

import logging
from datetime import datetime
from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from services.chassis.jetstream_api import ask
from services.chassis.settle import readable
from services.chassis.topology import offering
from services.contracts.offers import Offers
from services.contracts.subjects import OFFERS_BUCKET

log = logging.getLogger(__name__)

_STREAM: Final = f"KV_{OFFERS_BUCKET}"


async def read_offers(client: Client, js: JetStreamContext, younger_than: float) -> tuple[Offers, ...]:
    """What all providers have put there within so many seconds, sorted by name.

    Ages go by the server's clock alone: that of a provider may be minutes off, and so may be ours.
    """
    try:
        names = await offering(js)
        now = await _server_time(client)
        found = [await js.get_last_msg(_STREAM, f"$KV.{OFFERS_BUCKET}.{name}", direct=True) for name in names]
    except NotFoundError:
        return ()  # nobody has offered anything since the bucket was lost
    young = [(name, raw) for name, raw in zip(names, found, strict=True) if _age(raw, now) <= younger_than]
    read = [_read(name, raw) for name, raw in young]
    return tuple(offers for offers in read if offers)


async def _server_time(client: Client) -> datetime:
    """The time by which the server stamps messages. nats-py leaves it out of what it gives back of this answer."""
    told = await ask(client, f"STREAM.INFO.{_STREAM}")
    return datetime.fromisoformat(str(told["ts"]))


def _age(raw: RawStreamMsg, now: datetime) -> float:
    """Seconds."""
    return (now - raw.time).total_seconds() if raw.time else 0.0


def _read(name: str, raw: RawStreamMsg) -> Offers | None:
    """What one provider offers. One that offers what cannot be read harms itself alone."""
    if not raw.data:
        return None
    try:
        offers = Offers.model_validate_json(raw.data)
    except ValidationError as error:
        log.warning("offers cannot be read", extra={"provider": name, "reason": readable(error)[:500]})
        return None
    return offers if offers.provider == name else None
