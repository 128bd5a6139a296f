"""Hears of providers that offer for the first time, so that the topology's owner makes their consumers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.contracts.subjects import OFFERS_BUCKET


class Newcomers:
    """Who has offered since it began to listen. What it misses while NATS is away is found by looking, as before."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def heard(cls, client: Client) -> AsyncIterator[Self]:
        """Listen to what is put into the bucket; the client listens anew by itself after it has lost the server."""
        made = cls()
        subscription = await client.subscribe(f"$KV.{OFFERS_BUCKET}.*", cb=made._hear)
        try:
            yield made
        finally:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def _hear(self, message: Msg) -> None:
        if message.subject not in self._known:
            self._known.add(message.subject)
            self._news.set()

    async def wait(self, seconds: float) -> None:
        """Until somebody new offers, or so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
