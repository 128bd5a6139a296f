"""Does a thing once for all who ask for it at about the same time, and not too many things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Coalesce(Generic[K]):
    """Work by key. Who asks while a key waits for its turn shares that turn; who asks during it gets the next.

    A turn comes after `pause` seconds, and `at_once` of them are taken side by side: what is shown to people may lag a
    little, so that in a burst it leaves room for what moves things on.
    """

    def __init__(self, work: Callable[[K], Awaitable[None]], *, pause: float, at_once: int) -> None:
        self._work = work
        self._pause = pause
        self._slots = asyncio.Semaphore(at_once)
        self._waiting: dict[K, asyncio.Task[None]] = {}

    async def ask(self, key: K) -> None:
        """Wait for a turn that begins after this call. Raises what the work raises."""
        turn = self._waiting.get(key)
        if turn is None:
            turn = self._waiting[key] = asyncio.create_task(self._turn(key))
        await asyncio.shield(turn)  # who gives up does not take the turn away from the others

    async def _turn(self, key: K) -> None:
        try:
            await asyncio.sleep(self._pause)
            await self._slots.acquire()
        finally:
            del self._waiting[key]
        try:
            await self._work(key)
        finally:
            self._slots.release()
