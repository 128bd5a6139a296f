"""Probes that test the real thing, and the small HTTP server that answers them.

`/livez` says whether the loop turns. `/readyz` asks each registered check: that the bus answers, that the
consumers exist and are pulled from, that the watch is fresh. `/metrics` is for Prometheus.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from faststream.asgi.types import Receive, Scope, Send
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from prometheus_client import generate_latest

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings

Check = Callable[[], Awaitable[str | None]]
"""Returns None if all is well, else what is wrong in a sentence."""

CHECK_SECONDS = 4.0


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on a check."""
        self._checks[name] = check

    async def problems(self) -> dict[str, str]:
        """What is wrong now, by the name of the check. Checks run side by side, each within a time-out."""
        results = await asyncio.gather(*(_run(check) for check in self._checks.values()))
        return {name: text for name, text in zip(self._checks, results, strict=True) if text}


async def _run(check: Check) -> str | None:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def bus_check(bus: Bus) -> Check:
    """That NATS answers, and that each of our consumers exists and is pulled from by this very process."""

    async def check() -> str | None:
        if not bus.connected:
            return "NATS is not connected"
        for subscription in bus.subscriptions:
            try:
                await bus.js.consumer_info(subscription.stream, subscription.durable)
            except NotFoundError:
                return f"consumer {subscription.durable} does not exist"
            except (NatsError, TimeoutError) as error:
                return f"NATS does not answer: {error!r}"
            if problem := subscription.problem(bus.reconnects):
                return f"consumer {subscription.durable}: {problem}"
        return None

    return check


class _QuietServer(uvicorn.Server):
    """Leaves the process's signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HealthServer:
    """Serves the probes until it is cancelled."""

    def __init__(self, settings: Settings, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
        self._server = _QuietServer(config)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._server.serve()

    async def _app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        status, kind, body = await self._answer(str(scope["path"]))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4", generate_latest(self._metrics.registry)
        if path == "/livez":
            return 200, b"application/json", json.dumps({"alive": True, "time": time.time()}).encode()
        if path == "/readyz":
            problems = await self._health.problems()
            body = {"ready": not problems, "problems": problems}
            return (503 if problems else 200), b"application/json", json.dumps(body).encode()
        return 404, b"application/json", b'{"error": "there are /livez, /readyz and /metrics here"}'
