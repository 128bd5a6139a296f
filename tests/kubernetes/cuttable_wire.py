"""A wire to the API server that a test can cut and mend, while others still reach the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml


class CuttableWire:
    """Forwards TCP connections from a port of 127.0.0.1, as long as it is not cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, kubeconfig: Path, folder: Path) -> AsyncIterator[tuple[Self, Path]]:
        """A wire to the server of a kubeconfig, and a kubeconfig that goes through it."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        url = urlsplit(cluster["server"])
        wire = cls(url.hostname or "", url.port or 443)
        server = await asyncio.start_server(wire._accept, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        cluster["server"] = f"https://127.0.0.1:{wire.port}"
        through = folder / "through-the-wire"
        through.write_text(yaml.safe_dump(config))
        try:
            yield wire, through
        finally:
            server.close()
            wire.cut()
            await asyncio.gather(*wire._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections, and every new one."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let new connections through again."""
        self._cut = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._cut:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers.add(there_writer)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(_pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.transport.abort()
