"""Scenarios about what travels beside demands: offers, what is not meant for this provider, what cannot be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from nats.js.api import RawStreamMsg
from pydantic import ValidationError

from services.cli.conformance.case import Case
from services.cli.conformance.outcome import Breach
from services.cli.conformance.rules import Rule
from services.cli.conformance.setting import Setting
from services.contracts.messages import Demand
from services.contracts.offers import Offers
from services.contracts.subjects import CONFORMANCE, demand

T = TypeVar("T")

RENEWED: Final = 30.0
"""Seconds within which offers must have been put again: 20, and some for a busy machine."""
FRESH: Final = timedelta(seconds=90)
SKEW: Final = timedelta(seconds=30)
PUT_ASIDE: Final = 30.0
QUIET: Final = 3.0
UNREADABLE: Final = (b"{", b'{"uid": "u", "nodes": "many"}')
HEADERS: Final = ("Kaito-Error", "Kaito-Error-Type", "Kaito-Original-Subject")


async def offers(case: Case, _: Setting) -> None:
    """They are there, they make sense, and they are put again."""
    first = await read_offers(case)
    _check(first, case.wire.provider, datetime.now(UTC))

    async def renewed() -> Offers | None:
        now = await read_offers(case)
        return now if now.published_at > first.published_at else None

    await _eventually(renewed, RENEWED, Rule.OFFERS, f"they stand as they were put at {first.published_at:%H:%M:%S}")


async def read_offers(case: Case) -> Offers:
    """The offers as they stand now. Raises `Breach` where there are none, or none that can be read."""
    body = await case.wire.offers()
    if body is None:
        raise Breach(Rule.OFFERS, f"OFFERS has nothing under the key {case.wire.provider}")
    try:
        return Offers.model_validate_json(body)
    except ValidationError as error:
        raise Breach(Rule.OFFERS_SHAPE, f"they cannot be read: {error}") from error


def _check(found: Offers, provider: str, now: datetime) -> None:
    if found.provider != provider:
        raise Breach(Rule.OFFERS, f"under the key {provider} stand the offers of {found.provider}")
    if not now - FRESH < found.published_at < now + SKEW:
        raise Breach(Rule.OFFERS, f"publishedAt is {found.published_at}, and it is {now}")
    names = [offer.instance_type.lower() for offer in found.offers]
    if not names or len(set(names)) < len(names):
        raise Breach(Rule.OFFERS_SHAPE, f"{len(names)} offers of {len(set(names))} sizes")
    if bad := [o.instance_type for o in found.offers if o.gpus and o.gpu_memory_gib <= 0]:
        raise Breach(Rule.OFFERS_SHAPE, f"GPUs without memory: {', '.join(bad)}")
    if bad := [o.instance_type for o in found.offers if (o.price_per_hour or 0) < 0 or (o.available or 0) < 0]:
        raise Breach(Rule.OFFERS_SHAPE, f"less than nothing: {', '.join(bad)}")


async def another_provider(case: Case, _: Setting) -> None:
    """A demand for a provider of which this one's name is only the beginning is left alone."""
    other = f"{case.wire.provider}-conformance"
    wanted = Demand(
        namespace=CONFORMANCE, name=case.name, uid="another", generation=1, plan_revision=1, provider=other,
        nodes=1, instance_type="none",
    )  # fmt: skip
    await case.wire.demand(wanted)
    await asyncio.sleep(QUIET)
    stands = await case.wire.stands(wanted.subject)
    await case.wire.forget(CONFORMANCE, case.name, other)
    if case.heard or not stands:
        raise Breach(Rule.OTHERS, f"the demand for {other} was touched; {case.last_words()}")


async def malformed(case: Case, _: Setting) -> None:
    """What cannot be read is put aside as it came, and the next demand is handled."""
    for number, body in enumerate(UNREADABLE):
        name = f"{case.name}-{number}"
        subject = demand(case.wire.provider, CONFORMANCE, name)
        await case.wire.publish_raw(subject, body)
        letter = await _eventually(
            lambda subject=subject: case.wire.dead_letter(subject),  # type: ignore[misc]  # mypy infers no default
            PUT_ASIDE,
            Rule.UNREADABLE,
            f"{body!r} is not in DLQ",
        )
        await case.wire.forget(CONFORMANCE, name, case.wire.provider)
        await case.wire.forget_letters(subject)
        _as_it_came(letter, body)
    await case.want(1)
    await case.until_taken_up()


def _as_it_came(letter: RawStreamMsg, body: bytes) -> None:
    missing = [name for name in HEADERS if not (letter.headers or {}).get(name)]
    if letter.data != body or missing:
        text = f"of {body!r} DLQ has {letter.data!r}, without {', '.join(missing) or 'nothing'}"
        raise Breach(Rule.UNREADABLE, text)


async def _eventually(look: Callable[[], Awaitable[T | None]], seconds: float, rule: Rule, otherwise: str) -> T:
    """Look until there is something. Raises `Breach`."""
    end = time.monotonic() + seconds
    while (found := await look()) is None:
        if time.monotonic() > end:
            raise Breach(rule, f"after {seconds:g} s {otherwise}")
        await asyncio.sleep(0.2)
    return found
