"""Publishes what the provider offers, again and again: whoever has fresh offers in the bucket is served demands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus
from services.chassis.cancellation import raise_if_cancelled
from services.contracts.errors import ProviderError
from services.contracts.offers import Offer, Offers
from services.provisioner.provider import Provider

log = logging.getLogger(__name__)

BUS_RETRY: Final = 0.5
CLOUD_RETRY: Final = 5.0
"""Seconds until the next try, by who did not answer."""
BETWEEN: Final = 1.0
"""Seconds between two publications, however fast machines come and go."""
STALE: Final = 60.0
"""Offers that were published longer ago than this, in seconds, make the process unready."""


class OfferPublisher:
    """Keeps this provider's entry in the bucket fresh, and knows what stands in it."""

    def __init__(self, bus: Bus, provider: Provider, every_seconds: float) -> None:
        self._bus = bus
        self._provider = provider
        self._every = every_seconds
        self._changed = asyncio.Event()
        self._published = float("-inf")
        self.offers: Offers | None = None
        """What is offered; None until the provider has said so for the first time."""
        self.asked = False
        """Whether the provider was asked at all, whatever it said."""

    async def run(self, connected: asyncio.Event) -> None:
        """Publish until cancelled: at the start, after a change, and every so often."""
        await connected.wait()
        while True:
            raise_if_cancelled()
            wait = await self._publish()
            if wait is None:
                await asyncio.sleep(min(BETWEEN, self._every))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._every)
            else:
                await asyncio.sleep(wait)
            self._changed.clear()

    def change(self) -> None:
        """Have the offers published anew soon: a machine came or went."""
        self._changed.set()

    def find(self, instance_type: str) -> Offer | None:
        """The offer of that size."""
        return self.offers.find(instance_type) if self.offers else None

    async def problem(self) -> str | None:
        """For readiness: whether the offers are fresh."""
        if time.monotonic() - self._published <= STALE:
            return None
        return f"no offers of {self._provider.name} were published for {STALE:.0f} s"

    async def _publish(self) -> float | None:
        """Ask and publish; returns the seconds until the next try if it did not work."""
        try:
            found = await self._provider.offers()
        except ProviderError as error:
            log.warning("%s does not say what it offers: %s", self._provider.name, error.message)
            return error.retry_after or CLOUD_RETRY
        finally:
            self.asked = True
        name, simulated = self._provider.name, self._provider.simulated
        self.offers = Offers(provider=name, simulated=simulated, offers=found, published_at=datetime.now(UTC))
        try:
            await self._bus.offer(self.offers)
        except (JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.debug("offers cannot be published yet: %r", error)
            return BUS_RETRY
        self._published = time.monotonic()
        return None
