"""What becomes of a message after its handler: the acknowledgement policy, as plain decisions.

FastStream's own policies lose a message on any exception, or ask for it again without a pause; so they
are switched off, and what stands here is done instead.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from pydantic import ValidationError

FIRST_DELAY = 0.5
"""Seconds before the first new try after a failure; it doubles with each further one."""
LONGEST_DELAY = 30.0


@dataclass(frozen=True)
class Again:
    """A handler returns this to see the message again after so many seconds: the world is not yet as wanted."""

    after: float


class Outdated(Exception):
    """A compare-and-set publish lost: somebody wrote first. Read again and decide anew."""


class UnreadableObject(Exception):
    """Raised when a handler meets something else than its message that it cannot read. It is tried again."""


@dataclass(frozen=True)
class Ack:
    """Done with it."""


@dataclass(frozen=True)
class Nak:
    """Ask for it again after so many seconds."""

    delay: float
    failed: bool = False


@dataclass(frozen=True)
class DeadLetter:
    """Put it aside with its error, and go on."""

    error: str
    error_type: str


Settlement = Ack | Nak | DeadLetter


def settle(result: object, error: Exception | None, failures: int) -> Settlement:
    """Decide by what the handler returned or raised; `failures` counts the failed tries in a row before."""
    if isinstance(error, ValidationError):
        return DeadLetter(error=readable(error), error_type=type(error).__name__)
    if isinstance(error, Outdated):
        return Nak(jittered(0.05), failed=False)
    if error is not None:
        return Nak(backoff(failures), failed=True)
    if isinstance(result, Again):
        return Nak(result.after)
    return Ack()


def backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, bounded, jittered."""
    return jittered(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, 16)))


def jittered(seconds: float) -> float:
    """The same, 20 % more or less, so that what failed together does not come back together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - a pause, not a secret


def readable(error: Exception) -> str:
    """The error in one line: for a validation error each field and what is wrong with it."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
    return str(error) or type(error).__name__
