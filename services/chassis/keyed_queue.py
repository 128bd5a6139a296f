"""A queue of keys to look at: a key waits only once, and nobody looks at it while another does.

For loops that bring the world to a state: what counts is what is there when a key's turn comes, not how often
or in which order something was said of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from services.chassis.cancellation import raise_if_cancelled

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """The keys that wait, each with the moment from which on it may be taken."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._news = asyncio.Event()

    def add(self, key: K, after: float = 0.0) -> None:
        """Have a key looked at, in so many seconds at the latest."""
        at = asyncio.get_running_loop().time() + after
        self._due[key] = min(at, self._due.get(key, at))
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
                again = await look(key)
            except asyncio.CancelledError:
                self.add(key)  # whoever works next finishes it
                raise
            finally:
                self._busy.discard(key)
                self._news.set()
            if again > 0:
                self.add(key, again)

    async def _take(self) -> K:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            free = [(at, key) for key, at in self._due.items() if key not in self._busy]
            at, key = min(free, key=lambda item: item[0], default=(None, None))
            if at is not None and key is not None and at <= loop.time():
                del self._due[key]
                self._busy.add(key)
                return key
            await self._wait(None if at is None else at - loop.time())

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
