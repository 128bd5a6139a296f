"""A provider that is not asked for too much at once, and that always answers in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.provider import Instance, InstanceSpec, Key, Provider

log = logging.getLogger(__name__)

T = TypeVar("T")


class Bounded:
    """Another provider, with so many calls at a time, so many changes a second, and so many seconds for each call."""

    def __init__(self, inner: Provider, *, at_once: int, changes_per_second: float, seconds: float) -> None:
        self._inner = inner
        self._slots = asyncio.Semaphore(at_once)
        self._pause = 1 / changes_per_second
        self._next = 0.0
        self._seconds = seconds
        self.name = inner.name
        self.simulated = inner.simulated
        self.owns_nodes = inner.owns_nodes

    async def offers(self) -> tuple[Offer, ...]:
        """As the other's."""
        return await self._call("offers", self._inner.offers)

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """As the other's."""
        return await self._call("list", lambda: self._inner.list(workspace))

    async def create(self, spec: InstanceSpec) -> Instance:
        """As the other's."""
        await self._turn()
        return await self._call("create", lambda: self._inner.create(spec))

    async def delete(self, instance: Instance) -> None:
        """As the other's."""
        await self._turn()
        await self._call("delete", lambda: self._inner.delete(instance))

    async def _turn(self) -> None:
        """Wait for this call's place in the row of changes."""
        now = time.monotonic()
        mine = max(now, self._next)
        self._next = mine + self._pause
        await asyncio.sleep(mine - now)

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        async with self._slots:
            try:
                async with asyncio.timeout(self._seconds):
                    return await call()
            except TimeoutError as error:
                text = f"{self.name} did not answer to {verb} within {self._seconds:g} s"
                raise ProviderError(FailureCode.TIMEOUT, text) from error
            except ProviderError:
                raise
            except Exception as error:
                # A provider may be anybody's. Its mistake is told to who is waiting, and to nobody else.
                log.exception("the provider has made a mistake", extra={"provider": self.name, "call": verb})
                text = f"{self.name} made a mistake at {verb} (its log has more): {type(error).__name__}"
                raise ProviderError(FailureCode.INTERNAL, text) from error
