"""Answers that are good for a while, so that many who ask are one question to a cloud that allows few."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cached(Generic[T]):
    """The last answer to a question, for as long as it is good. Many who ask at once are one question."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None
        """When it was asked for, and what came."""
        self._changes = 0

    async def get(self) -> T:
        """The answer. Raises what the question raises; then the next to ask asks anew."""
        return await self.since(time.monotonic() - self._seconds)

    async def since(self, moment: float) -> T:
        """An answer to a question that was asked at that moment (`time.monotonic`) or later."""
        async with self._lock:
            if self._answer and moment <= self._answer[0]:
                return self._answer[1]
            before, asked = self._changes, time.monotonic()
            found = await self._ask()
            # What was asked before a change may not show it.
            self._answer = (asked, found) if before == self._changes else None
            return found

    def forget(self) -> None:
        """Take note that we have changed what is asked about."""
        self._changes += 1
        self._answer = None
