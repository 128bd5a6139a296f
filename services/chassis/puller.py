"""Pulls messages from a durable consumer and hands them on, as many side by side as there are hands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from services.chassis.cancellation import raise_if_cancelled
from services.contracts.subjects import Stream

log = logging.getLogger(__name__)

FETCH_SECONDS: Final = 5.0
"""Seconds that one request for messages stays with the server."""
PAUSE: Final = 0.25
"""Seconds until it is asked again when the consumer or the server is away. The service looks after that."""
GRACE: Final = 10.0
"""Seconds in which what is being handled may come to its end before a stop."""

Handle = Callable[[Msg], Coroutine[None, None, None]]


class Puller:
    """Pulls from one consumer. Never more messages are asked for than are handled at once.

    `handle` must not raise: it settles each message itself.
    """

    def __init__(self, stream: Stream, durable: str, at_once: int, handle: Handle) -> None:
        self.stream = stream
        self.durable = durable
        self._at_once = at_once
        self._handle = handle
        self._handling: set[asyncio.Task[None]] = set()
        self._pulling: asyncio.Task[None] | None = None

    def start(self, js: JetStreamContext) -> None:
        """Pull from now on. The consumer should be there."""
        if self._pulling is None:
            self._pulling = asyncio.create_task(self._pull(js))

    async def stop(self) -> None:
        """Ask for no more, and wait for what is being handled."""
        if self._pulling is not None:
            self._pulling.cancel()
            await asyncio.wait([self._pulling])
            self._pulling = None
        if self._handling:
            _, late = await asyncio.wait(self._handling, timeout=GRACE)
            for task in late:
                task.cancel()  # the server gives its message to somebody else

    async def _pull(self, js: JetStreamContext) -> None:
        subscription = await js.pull_subscribe_bind(self.durable, stream=self.stream)
        try:
            while True:
                raise_if_cancelled()
                for message in await self._fetch(subscription, await self._free()):
                    task = asyncio.create_task(self._handle(message))
                    self._handling.add(task)
                    task.add_done_callback(self._handling.discard)
        finally:
            await _leave(subscription)

    async def _free(self) -> int:
        """How many more can be handled now; waits until it is one."""
        while len(self._handling) >= self._at_once:
            await asyncio.wait(self._handling, return_when=asyncio.FIRST_COMPLETED)
        return self._at_once - len(self._handling)

    async def _fetch(self, subscription: JetStreamContext.PullSubscription, number: int) -> list[Msg]:
        try:
            return list(await subscription.fetch(number, timeout=FETCH_SECONDS))
        except TimeoutError:
            return []
        except (JetStreamError, nats.errors.Error, OSError) as error:
            log.debug("nothing can be pulled from %s now: %r", self.durable, error)
        except Exception:
            log.exception("nothing can be pulled", extra={"consumer": self.durable})
        await asyncio.sleep(PAUSE)
        return []


async def _leave(subscription: JetStreamContext.PullSubscription) -> None:
    try:
        await subscription.unsubscribe()
    except (ValueError, nats.errors.Error, OSError) as error:
        log.debug("left without a good-bye: %r", error)
