"""The life of a service: start in any order, wait for what is not there yet, stop without losing work."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus, Subscription
from services.chassis.health import Health, HealthServer, bus_check
from services.chassis.logs import setup_logs
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry

log = logging.getLogger(__name__)

CHECK_EVERY: Final = 1.0
"""Seconds between two looks at whether our consumers are still there."""

Task = Callable[[], Awaitable[None]]


class Service:
    """What a service is built from. `wire` functions add handlers, checks and tasks to it.

    `tasks` run from the start; they must wait for the bus themselves (`connected`) if they need it.
    `resources` are closed at the end, last first.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.metrics = Metrics()
        self.telemetry = Telemetry.from_environment(name, settings.instance)
        self.bus = Bus(settings, self.telemetry, self.metrics)
        self.health = Health()
        self.tasks: list[Task] = []
        self.resources = AsyncExitStack()
        self.connected = asyncio.Event()
        self.health.add("bus", bus_check(self.bus))

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(HealthServer(self.settings, self.health, self.metrics).run())
                group.create_task(self._consume())
                for task in self.tasks:
                    group.create_task(_awaited(task))
        finally:
            await self._close()

    async def _close(self) -> None:
        """Each part, also where one fails or a second cancellation cuts the farewell to the bus short."""
        async with AsyncExitStack() as rest:
            rest.callback(self.telemetry.shutdown)
            rest.push_async_callback(self.resources.aclose)
            await self.bus.close()

    async def _consume(self) -> None:
        """Pull while the consumers exist; when one is gone, wait until the topology's owner has made it again."""
        await self.bus.connect()
        self.connected.set()
        log.info("connected to NATS")
        while True:
            await self._until(there=True)
            await self.bus.broker.start()
            log.info("pulling", extra={"consumers": [s.durable for s in self.bus.subscriptions]})
            await self._until(there=False)
            log.warning("a consumer is gone; waiting for it to be made again")
            for subscriber in self.bus.broker.subscribers:
                await subscriber.stop()

    async def _until(self, *, there: bool) -> None:
        """Wait until all consumers exist, or until one is known not to. A silent server changes nothing."""
        while (found := await self._consumers_exist()) is None or found is not there:
            await asyncio.sleep(CHECK_EVERY)

    async def _consumers_exist(self) -> bool | None:
        """Whether all our consumers exist; None if the server does not say."""
        found = [await self._exists(s) for s in self.bus.subscriptions]
        return None if None in found else all(found)

    async def _exists(self, subscription: Subscription) -> bool | None:
        try:
            await self.bus.js.consumer_info(subscription.stream, subscription.durable)
        except (JetStreamError, nats.errors.Error, TimeoutError) as error:
            return False if getattr(error, "code", None) == 404 else None
        return True


async def _awaited(task: Task) -> None:
    await task()


def run(name: str, settings: Settings, wire: Callable[[Service], Awaitable[None]]) -> None:
    """The main function of every service: wire it, run it, end it on SIGTERM or SIGINT."""
    setup_logs(settings.log_level)
    asyncio.run(_run(name, settings, wire))


def _settle_memory() -> None:
    """Keep what was loaded at the start out of later garbage collections.

    There are 80,000 objects that live as long as the process; to walk them takes 50 ms and more, mostly in a burst.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # each `__main__` has disabled it


async def _run(name: str, settings: Settings, wire: Callable[[Service], Awaitable[None]]) -> None:
    service = Service(name, settings)
    try:
        await wire(service)
    except BaseException:
        await service.resources.aclose()
        raise
    _settle_memory()
    main = asyncio.create_task(service.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, main.cancel)
    try:
        await main
    except asyncio.CancelledError:
        log.info("stopped")
