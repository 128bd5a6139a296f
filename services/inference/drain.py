"""Ends a server in good order: it takes nothing new, finishes what runs, and only then lets go of the engine."""

import asyncio
import logging
import signal
from collections.abc import Callable

from services.inference.door import Door
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

GRACE_ENV = "KAITOBUS_DRAIN_SECONDS"
DEFAULT_GRACE_S = 50.0
"""How long running requests may take. A pod has 60 s, of which the engine's processes need some to end."""
CUT_OFF_S = 2
"""How long uvicorn waits for whatever is left then."""


class Drain:
    """Minds SIGTERM and SIGINT. A second one cuts the waiting short."""

    def __init__(self, door: Door, grace_s: float, close: Callable[[], None]) -> None:
        self._door = door
        self._grace_s = grace_s
        self._close = close
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def told(self) -> bool:
        """Whether the server has been told to end."""
        return self._task is not None

    def mind_signals(self) -> None:
        """Take the place of the signal handlers that are there: vLLM's would end the engine first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.begin)

    def begin(self) -> None:
        """Refuse new requests from now on, and close once the running ones are done."""
        if self._task is not None:
            self._hurry.set()
            return
        self._door.end()
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        log.info("told to end: %d requests are running, for which there are %.0f s", self._door.inside, self._grace_s)
        waits = [asyncio.create_task(event.wait()) for event in (self._door.empty, self._hurry)]
        await asyncio.wait(waits, timeout=self._grace_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._door.inside:
            log.warning("%d requests are cut off", self._door.inside)
        self._close()
