"""One process's connection to NATS: made however long it takes, kept, and left in good order."""

import asyncio
import logging
from typing import Final

import nats.errors
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.chassis.cancellation import raise_if_cancelled
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.settling import Settler

log = logging.getLogger(__name__)

TIMEOUT: Final = 5.0
"""Seconds that one request to the server may take."""


class Connection:
    """FastStream's broker, which settles messages in our way, and the client beneath it."""

    def __init__(self, settings: Settings, service: str, metrics: Metrics) -> None:
        self._url = settings.nats_url
        settler = Settler(service, metrics)
        self.broker = NatsBroker(
            settings.nats_url,
            name=f"kaitobus-{service}/{settings.instance}",
            user_credentials=str(settings.nats_credentials) if settings.nats_credentials else None,
            connect_timeout=3,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
            ping_interval=10,
            max_outstanding_pings=2,
            graceful_timeout=10,
            error_cb=self._note,
            logger=None,
            middlewares=[settler.middleware()],
            # FastStream would find out for each message what the handler's parameters need, in a thread.
            apply_types=False,
        )
        settler.broker = self.broker
        self._said = ""

    async def connect(self) -> None:
        """Connect, however long it takes for the server to be there."""
        while True:
            try:
                await self.broker.connect()
            except (OSError, nats.errors.Error, TimeoutError) as error:
                log.warning("NATS at %s does not answer yet: %s", _address(self._url), error)
                await asyncio.sleep(0.5)
            else:
                return

    async def _note(self, error: Exception) -> None:
        """Log what keeps us from the server, once for as long as it stays the same.

        nats-py tries again by itself and calls this in between. It may have swallowed a cancellation while it did.
        """
        raise_if_cancelled()
        if repr(error) != self._said:
            self._said = repr(error)
            log.warning("NATS at %s: %s", _address(self._url), str(error) or self._said)

    async def close(self) -> None:
        """Finish what is being handled, then leave. Without a connection there is nothing to finish with."""
        try:
            await self.broker.stop()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.info("left NATS without a good-bye: %s", error)
            await self.client.close()

    @property
    def client(self) -> Client:
        """The NATS client beneath. Raises nats-py's ConnectionClosedError before the first connection."""
        try:
            return self.broker.config.broker_config.connection_state.connection
        except IncorrectState as error:
            raise nats.errors.ConnectionClosedError from error

    @property
    def js(self) -> JetStreamContext:
        """JetStream with our time-out. Raises one of nats-py's errors at once while there is no connection."""
        raise_if_cancelled()
        if not self.client.is_connected:
            raise nats.errors.ConnectionReconnectingError
        return self.client.jetstream(timeout=TIMEOUT)

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        try:
            return bool(self.client.is_connected)
        except nats.errors.ConnectionClosedError:
            return False

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and made anew."""
        return int(self.client.stats["reconnects"])


def _address(url: str) -> str:
    """The server's address without the user and password that a URL may carry."""
    return url.rsplit("@", 1)[-1]
