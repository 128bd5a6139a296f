"""A queue of keys to look at: a key waits only once, and nobody looks at it while another does.

For loops that bring the world to a state: what counts is what is there when a key's turn comes, not how often
or in which order something was said of it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from services.chassis.cancellation import raise_if_cancelled
from services.chassis.logs import errand

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """The keys that wait, each with the moment from which on it may be taken."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._row: list[tuple[float, int, K]] = []
        """A heap of what is in `_due`, and of times that have been overtaken by sooner ones: those are passed over."""
        self._numbers = itertools.count()
        self._news = asyncio.Event()

    def add(self, key: K, after: float = 0.0) -> None:
        """Have a key looked at, in so many seconds at the latest."""
        at = asyncio.get_running_loop().time() + after
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._line_up(key)

    def _line_up(self, key: K) -> None:
        """Put a key that is due into the row, and wake who waits if it is the first there."""
        heapq.heappush(self._row, (self._due[key], next(self._numbers), key))
        if self._first()[1] == key:
            self._news.set()

    async def work(self, look: Callable[[K], Awaitable[float]]) -> None:
        """Look at one key after the other, until cancelled. Run it several times to look at several at once.

        `look` returns the seconds after which the key is to be looked at again; 0 if it is done. What it raises
        ends the work.
        """
        while True:
            raise_if_cancelled()
            key = await self._take()
            try:
                with errand():
                    again = await look(key)
            except asyncio.CancelledError:
                self.add(key)  # whoever works next finishes it
                raise
            finally:
                self._busy.discard(key)
                if key in self._due:
                    self._line_up(key)
            if again > 0:
                self.add(key, again)

    async def _take(self) -> K:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            at, key = self._first()
            if key is not None and at <= loop.time():
                heapq.heappop(self._row)
                del self._due[key]
                self._busy.add(key)
                return key
            await self._wait(None if key is None else at - loop.time())

    def _first(self) -> tuple[float, K | None]:
        """The key that is due first, and that nobody looks at; those that are busy line up again when they are not."""
        while self._row:
            at, _, key = self._row[0]
            if self._due.get(key) == at and key not in self._busy:
                return at, key
            heapq.heappop(self._row)
        return float("inf"), None

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
