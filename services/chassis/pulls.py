"""Whether this very process gets what it asks a consumer for. The server's figures sum up all replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

FETCH_SECONDS: Final = 5.0
"""How long one pull waits for messages. The server answers each: with messages, or that there were none."""
SILENT_AFTER: Final = 3 * FETCH_SECONDS


class Answered(Protocol):
    """A pull subscription, as far as it counts the answers to its pulls, those without a message too."""

    @property
    def delivered(self) -> int:
        """The answers so far."""


class Pulls:
    """The pulls of one process from one consumer, and what its handler has in its hands of them."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._busy = 0
        self._seen: tuple[Answered, int, int] | None = None
        self._since = 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold a message in the handler's hands. Nothing is pulled while all hands are full."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._since = self._clock()

    def problem(self, subscription: Answered | None, reconnects: int) -> str | None:
        """What is wrong, None if nothing is. Goes by what has changed since it was asked last.

        `subscription` is that of now, None while there is none; `reconnects` is how often the connection was made
        anew: each time, pulls are lost, and the next one is waited for.
        """
        if subscription is None:
            return "it is not pulled from yet"
        now, seen = self._clock(), (subscription, subscription.delivered, reconnects)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if self._busy >= self._workers or now - self._since <= SILENT_AFTER:
            return None
        return f"no pull of this process was answered for {now - self._since:.0f} s"
