"""What is read from Azure once for everyone: the list of pools for moments, sizes and quota for minutes."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from services.chassis.kube import JsonObject, dig_dict, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.cached import Cached
from services.provisioner.providers.azure.arm import Arm
from services.provisioner.providers.azure.market import Market, Size, read_left, read_sizes
from services.provisioner.providers.azure.refusal import Refusal, read
from services.provisioner.providers.azure.settings import AzureSettings
from services.provisioner.providers.azure.translate import Refused

log = logging.getLogger(__name__)

T = TypeVar("T")
REMEMBERED: Final = 1000
"""Operations whose address is kept."""
RECENT: Final = 60.0
"""Seconds within which a list of Azure's may not show yet what was accepted."""
_OUTCOMES: Final = (FailureCode.QUOTA_EXCEEDED, FailureCode.INSUFFICIENT_CAPACITY, FailureCode.INVALID_REQUEST)


class MarketReader:
    """Sizes and quota. What this identity may not read is left open, and said once."""

    def __init__(self, arm: Arm, settings: AzureSettings, table: Iterable[Offer]) -> None:
        """`table` are the sizes that anything is to be known of."""
        self._arm = arm
        self._region = settings.region
        self._known = frozenset(offer.instance_type.lower() for offer in table)
        self._cached = Cached(self._read, settings.market_seconds)
        self._said: dict[str, str] = {}
        self.last = Market()
        """As it was read last, for those who cannot wait."""

    async def get(self) -> Market:
        """The market as it was some minutes ago at most."""
        return await self._cached.get()

    def forget(self) -> None:
        """The next offers are to be made from fresh figures: the quota has been found used up, or was given back."""
        self._cached.forget()

    async def _read(self) -> Market:
        last = self.last
        self.last = Market(
            sizes=await self._tried("sizes", self._sizes, last.sizes),
            left=await self._tried("quota", self._left, last.left),
        )
        return self.last

    async def _sizes(self) -> dict[str, Size]:
        return read_sizes(await self._arm.skus(), self._region, self._known)

    async def _left(self) -> dict[str, int]:
        return read_left(await self._arm.usages())

    async def _tried(self, what: str, ask: Callable[[], Awaitable[T]], last: T | None) -> T | None:
        """The answer; the last one after a fault that passes, and then it is asked again soon."""
        try:
            found = await ask()
        except ProviderError as error:
            if self._said.get(what) != error.code:
                log.warning("the %s of region %s cannot be read: %s. %s", what, self._region, error.message, _SO[what])
            self._said[what] = error.code
            if not error.code.passes:
                return None
            self.forget()
            return last
        self._said.pop(what, None)
        return found


_SO: Final = {
    "sizes": "All sizes of the table are offered, sold there or not; the role needs Microsoft.Compute/skus/read.",
    "quota": "How many machines can be had is not told; the role needs Microsoft.Compute/locations/usages/read.",
}


class Operations:
    """Where Azure tells how the creation of a pool ended: for pools that do not keep their error themselves, and for
    those that never came.

    Only this process knows the addresses. After a restart a pool's own word is all there is.
    """

    def __init__(self, arm: Arm, poll_seconds: float) -> None:
        self._arm = arm
        self._poll = poll_seconds
        self._urls: dict[str, str] = {}
        self._accepted: dict[str, float] = {}
        self._errors: dict[str, Refusal] = {}
        self._next_look: dict[str, float] = {}

    def note(self, pool: str, url: str) -> None:
        """A pool's creation was accepted; keep its address."""
        self.forget(pool)
        self._accepted[pool] = time.monotonic()
        self._next_look[pool] = time.monotonic() + self._poll
        if url:
            self._urls[pool] = url
        while len(self._accepted) > REMEMBERED:
            self.forget(next(iter(self._accepted)))

    def recent(self) -> tuple[str, ...]:
        """The pools whose creation was accepted a moment ago."""
        since = time.monotonic() - RECENT
        return tuple(pool for pool, at in self._accepted.items() if at > since)

    def forget(self, pool: str) -> None:
        """The pool is being deleted, or its end has been told."""
        self._accepted.pop(pool, None)
        self._urls.pop(pool, None)
        self._next_look.pop(pool, None)
        self._errors.pop(pool, None)

    async def error(self, pool: str) -> Refusal | None:
        """Why the creation failed; None where that is not known, or where it goes on."""
        if pool not in self._errors and pool in self._urls and time.monotonic() >= self._next_look.get(pool, 0):
            self._next_look[pool] = time.monotonic() + self._poll
            try:
                found = await self._outcome(self._urls[pool])
            except ProviderError as error:
                log.info("Azure does not say why a pool has failed", extra={"pool": pool, "reason": error.message})
                return None
            if found:
                self._errors[pool] = found
        return self._errors.get(pool)

    async def _outcome(self, url: str) -> Refusal | None:
        """What the operation's address says. One that came as Location answers with the error itself."""
        try:
            return _error(await self._arm.operation(url))
        except Refused as refused:
            if refused.code in _OUTCOMES:
                return refused.refusal
            raise


def _error(operation: JsonObject) -> Refusal | None:
    """The error of an operation that has failed."""
    if dig_str(operation, "status").lower() not in ("failed", "canceled") or not dig_dict(operation, "error"):
        return None
    return read(operation)
