"""Passes TCP connections on from one port of this machine to others."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
"""Open at the same time, for each listener; what comes on top is closed at once."""
CHUNK = 64 * 1024
CONNECT_S = 5.0


class TcpProxy:
    """One listening port. Its backends may change while it listens; connections that are open stay."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._backends: tuple[int, ...] = ()
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._open = 0

    async def serve(self, backends: tuple[int, ...]) -> None:
        """Pass connections on to these ports of 127.0.0.1, in turns; with none, refuse them.

        Raises OSError when the port is taken.
        """
        self._backends = backends
        if backends and self._server is None:
            self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        elif not backends:
            self.close()

    def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
            self._server = None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS and self._backends:
                await self._connect(reader, writer)
        except (OSError, TimeoutError) as error:
            log.debug("port %d: %s", self.port, error)
        finally:
            self._open -= 1
            await _close(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = self._backends[next(self._turns) % len(self._backends)]
        async with asyncio.timeout(CONNECT_S):
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", backend)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, upstream_writer))
                group.create_task(_copy(upstream_reader, writer))
        except* OSError as errors:
            log.debug("port %d to %d: %s", self.port, backend, errors.exceptions[0])
        finally:
            await _close(upstream_writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, then say so to the other side: either half may be closed first."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
