"""How long to wait before the next try."""

from __future__ import annotations

import random

from services.chassis.kube.errors import KubeError


def backoff(attempt: int, *, base: float, cap: float) -> float:
    """Seconds to wait before try number `attempt` (1 is the first repeat): doubling, with half of it random.

    The random half keeps many clients of one server from coming back at the same moment.
    """
    ceiling = min(cap, base * 2.0 ** min(attempt - 1, 30))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def jittered(seconds: float, share: float = 0.2) -> float:
    """A period, made up to `share` longer at random, so that clients started together drift apart."""
    return seconds * random.uniform(1.0, 1.0 + share)  # noqa: S311 - spreads load, guards nothing


RETRIES = 3
RETRY_AFTER_CAP = 5.0
"""Seconds: longer waits than this are the caller's to plan, so the error is raised."""


def retry_delay(error: KubeError, attempt: int, *, idempotent: bool) -> float | None:
    """Seconds until a call is tried again inside the client, or None to give up.

    A call that the server put off unread (429) is always repeated; one without an answer, or refused for now
    (503), only when doing it twice is the same as doing it once. The server's own Retry-After is kept to.
    """
    repeatable = error.status == 429 or (idempotent and error.status in (0, 503))
    if attempt > RETRIES or not (repeatable and error.passes):
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= RETRY_AFTER_CAP else None
    return backoff(attempt, base=0.2, cap=2.0)
