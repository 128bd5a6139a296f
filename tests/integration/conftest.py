"""A real nats-server for each test that asks for one, on a free port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.service import Service
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.chassis.topology import Topology
from tests.sparing import SPARING


class NatsServer:
    """One nats-server process that can be killed, wiped and started again on the same port."""

    def __init__(self, store: Path, environment: Mapping[str, str] = SPARING) -> None:
        self.store = store
        self._environment = environment
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        binary = shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))
        self._process = await asyncio.create_subprocess_exec(
            binary,
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-js",
            "-sd",
            str(self.store),
            env={**os.environ, **self._environment},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            while not await _listening(self.port):
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def wipe(self) -> None:
        """Kill it, delete all that it kept, start it again."""
        await self.kill()
        shutil.rmtree(self.store)
        await self.start()


@asynccontextmanager
async def nats_on(store: Path, environment: Mapping[str, str] = SPARING) -> AsyncIterator[NatsServer]:
    """A server for as long as it is needed."""
    server = NatsServer(store, environment)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@asynccontextmanager
async def connected_bus(url: str, name: str = "test") -> AsyncIterator[Bus]:
    """A bus that handles nothing and makes no topology."""
    bus = Bus(Settings(nats_url=url), Telemetry(None, name), Metrics())
    await bus.connect()
    yield bus
    await bus.close()


async def _listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_on(tmp_path / "jetstream") as server:
        yield server


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connected bus with the whole topology in place, that handles nothing."""
    async with connected_bus(nats_server.url) as bus:
        await Topology(bus.js, Metrics()).ensure()
        yield bus


def service(name: str, server: NatsServer) -> Service:
    """A service of the chassis on that server, with nothing wired yet."""
    return Service(name, Settings(nats_url=server.url, http_port=free_port(), workers=4))
