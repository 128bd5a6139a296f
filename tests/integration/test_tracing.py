"""Traces as a collector receives them: one trace for each generation, whoever writes into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.chassis.bus import Bus
from services.chassis.telemetry import Telemetry
from services.contracts.identity import root_span_id, trace_id
from tests.integration.conftest import NatsServer
from tests.integration.test_bus import running, scheduler, state, until


class Collector:
    """An OTLP endpoint over HTTP that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()

    async def receive(self, request: web.Request) -> web.Response:
        for group in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            names = [a.value.string_value for a in group.resource.attributes if a.key == "service.name"]
            self.services.update(names)
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return web.Response()


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield collector
    await runner.cleanup()


async def flush(telemetry: Telemetry) -> None:
    """Send what is waiting: in a thread, since the collector runs on this loop."""
    await asyncio.to_thread(telemetry.shutdown)


async def test_handling_a_message_is_a_span_of_the_workspaces_trace(
    collector: Collector, bus: Bus, nats_server: NatsServer
) -> None:
    seen: list[object] = []
    made = scheduler(nats_server, seen.append)
    async with running(made):
        await bus.publish(state())
        await until(lambda: bool(seen))
        await flush(made.telemetry)
    (span,) = [span for span in collector.spans if span.name == "process WorkspaceState"]
    assert int.from_bytes(span.trace_id, "big") == trace_id("uid-w", 1)
    assert int.from_bytes(span.parent_span_id, "big") == root_span_id("uid-w", 1)
    assert collector.services == {"kaitobus-scheduler"}


async def test_the_root_span_can_be_written_last_and_still_is_the_parent_of_all(collector: Collector) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    telemetry = Telemetry.from_environment("watcher", "one")
    telemetry.record("node", state(), began, began + timedelta(seconds=5))
    telemetry.record("workspace", state(), began, began + timedelta(seconds=9), root=True)
    await flush(telemetry)
    child, root = collector.spans
    assert root.span_id == child.parent_span_id
    assert root.trace_id == child.trace_id
    assert root.parent_span_id == b""
    assert (root.end_time_unix_nano - root.start_time_unix_nano) == 9_000_000_000


async def test_another_generation_is_another_trace(collector: Collector) -> None:
    telemetry = Telemetry.from_environment("watcher", "one")
    now = datetime.now(UTC)
    for generation in (1, 2):
        telemetry.record("node", state(generation=generation), now, now)
    await flush(telemetry)
    assert len({span.trace_id for span in collector.spans}) == 2
