"""The bus on a real nats-server: nothing is lost, nothing is handled in an old version, poison is put aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from services.chassis.bus import Bus
from services.chassis.metrics import Metrics
from services.chassis.service import Service
from services.chassis.settle import Again, Outdated
from services.chassis.topology import Topology
from services.contracts.messages import Report, WorkspaceState
from services.contracts.offers import Offers
from services.contracts.subjects import ServiceName, Stream
from services.contracts.workspace import LabelSelector, Resource, WorkspaceSpec
from tests.integration.conftest import NatsServer, service


def state(name: str = "w", generation: int = 1, version: str = "1") -> WorkspaceState:
    spec = WorkspaceSpec(resource=Resource(label_selector=LabelSelector(match_labels={"a": "b"})))
    return WorkspaceState(
        namespace="default",
        name=name,
        uid=f"uid-{name}",
        generation=generation,
        resource_version=version,
        spec=spec,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def report(name: str = "w", endpoint: str | None = None) -> Report:
    return Report(
        namespace="default", name=name, uid=f"uid-{name}", generation=1, service=ServiceName.DEPLOYER, endpoint=endpoint
    )


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(made: Service) -> AsyncIterator[Service]:
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def scheduler(server: NatsServer, handler: Callable[[WorkspaceState], object]) -> Service:
    made = service("scheduler", server)

    async def handle(message: WorkspaceState) -> Again | None:
        result = handler(message)
        return result if isinstance(result, Again) else None

    made.bus.handle(WorkspaceState, Stream.WORKSPACES, "scheduler-workspaces", "kaito.workspace.>", handle)
    return made


async def test_a_published_state_reaches_the_handler(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)):
        await bus.publish(state())
        await until(lambda: seen == [state()])


async def test_only_the_newest_state_of_a_burst_is_kept(bus: Bus, nats_server: NatsServer) -> None:
    for number in range(100):
        await bus.publish(state(version=str(number)))
    async with asyncio.timeout(60):
        while await bus.newest(WorkspaceState, state().subject) != state(version="99"):
            await asyncio.sleep(0.01)
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)):
        await until(lambda: bool(seen))
    assert [s.resource_version for s in seen] == ["99"]


async def test_history_keeps_every_message(bus: Bus) -> None:
    for number in range(50):
        await bus.publish(state(version=str(number)))
    info = await bus.js.stream_info(Stream.HISTORY)
    assert info.state.messages == 50


async def test_the_same_state_twice_is_published_once(bus: Bus) -> None:
    assert await bus.publish(state()) == await bus.publish(state())


async def test_the_loser_of_a_compare_and_set_is_told(bus: Bus) -> None:
    last = await bus.last(Report, report().subject)
    await bus.publish(report(endpoint="first"), expect=last.sequence)
    with pytest.raises(Outdated):
        await bus.publish(report(endpoint="second"), expect=last.sequence)


async def test_a_report_that_returns_to_what_it_said_before_is_published(bus: Bus) -> None:
    for endpoint in ("a", "b", "a"):
        last = await bus.last(Report, report().subject)
        await bus.publish(report(endpoint=endpoint), expect=last.sequence)
        assert (await bus.last(Report, report().subject)).message == report(endpoint=endpoint)


async def test_a_message_that_failed_comes_again(bus: Bus, nats_server: NatsServer) -> None:
    tries: list[int] = []

    def fail_twice(_: WorkspaceState) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("the API server is away")

    async with running(scheduler(nats_server, fail_twice)):
        await bus.publish(state())
        await until(lambda: len(tries) == 3)


async def test_a_handler_can_ask_to_see_a_message_again(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []

    def look(message: WorkspaceState) -> Again | None:
        seen.append(message)
        return Again(0.05) if len(seen) < 4 else None

    async with running(scheduler(nats_server, look)):
        await bus.publish(state())
        await until(lambda: len(seen) == 4)


@pytest.mark.parametrize("body", [b"{not json", b'{"name": "w"}', b"[]", b"", b"\xff\xfe"])
async def test_a_message_that_cannot_be_read_is_put_aside_and_the_next_is_handled(
    bus: Bus, nats_server: NatsServer, body: bytes
) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)):
        await bus.js.publish("kaito.workspace.default.bad", body, headers={"traceparent": "00-1-2-01"})
        await bus.publish(state("good"))
        await until(lambda: seen == [state("good")])
        async with asyncio.timeout(60):
            while not (await bus.js.stream_info(Stream.DLQ)).state.messages:
                await asyncio.sleep(0.01)
    letter = await bus.js.get_last_msg(Stream.DLQ, "kaito.dlq.scheduler.kaito.workspace.default.bad")
    assert (letter.data or b"") == body
    assert letter.headers is not None
    assert letter.headers["Kaito-Original-Subject"] == "kaito.workspace.default.bad"
    assert letter.headers["Kaito-Error"]
    assert letter.headers["traceparent"] == "00-1-2-01"


async def test_a_deleted_consumer_is_made_again_and_work_goes_on(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)) as made:
        await until(lambda: made.connected.is_set())
        await bus.publish(state("first"))
        await until(lambda: len(seen) == 1)
        await bus.js.delete_consumer(Stream.WORKSPACES, "scheduler-workspaces")
        await Topology(bus.js, Metrics()).ensure()
        await bus.publish(state("second"))
        await until(lambda: state("second") in seen)


async def test_work_goes_on_after_the_whole_store_was_deleted(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)):
        await bus.publish(state("before"))
        await until(lambda: len(seen) == 1)
        await nats_server.wipe()
        async with asyncio.timeout(60):
            while not bus.connected:
                await asyncio.sleep(0.05)
        assert await Topology(bus.js, Metrics()).ensure()
        await bus.publish(state("after"))
        await until(lambda: state("after") in seen)


async def test_a_service_started_before_the_server_and_the_topology_works_once_they_are_there(
    nats_server: NatsServer,
) -> None:
    await nats_server.kill()
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)) as made:
        assert "bus" in await made.health.problems()
        await nats_server.start()
        await asyncio.wait_for(made.connected.wait(), 60)
        await Topology(made.bus.js, Metrics()).ensure()
        await made.bus.publish(state())
        await until(lambda: seen == [state()])
        async with asyncio.timeout(60):
            while await made.health.problems():
                await asyncio.sleep(0.1)


async def test_readiness_fails_when_the_consumer_is_gone(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []
    async with running(scheduler(nats_server, seen.append)) as made:
        await bus.publish(state())
        await until(lambda: len(seen) == 1)
        assert await made.health.problems() == {}
        await bus.js.delete_consumer(Stream.WORKSPACES, "scheduler-workspaces")
        assert "does not exist" in (await made.health.problems())["bus"]


async def test_a_topology_that_is_as_declared_is_left_alone(bus: Bus) -> None:
    metrics = Metrics()
    assert not await Topology(bus.js, metrics).ensure()
    assert all(sample.value == 0 for metric in metrics.repairs.collect() for sample in metric.samples)


async def test_a_stream_that_somebody_changed_is_changed_back(bus: Bus) -> None:
    config = (await bus.js.stream_info(Stream.PLANS)).config
    config.max_msgs_per_subject = 5
    await bus.js.update_stream(config)
    await Topology(bus.js, Metrics()).ensure()
    assert (await bus.js.stream_info(Stream.PLANS)).config.max_msgs_per_subject == 1


async def test_the_probes_answer_over_http(bus: Bus, nats_server: NatsServer) -> None:
    made = scheduler(nats_server, lambda _: None)
    base = f"http://127.0.0.1:{made.settings.http_port}"
    async with running(made), aiohttp.ClientSession() as http:
        async with asyncio.timeout(60):
            while await _status(http, f"{base}/readyz") != 200:
                await asyncio.sleep(0.05)
        assert await _status(http, f"{base}/livez") == 200
        assert await _status(http, f"{base}/nothing") == 404
        async with http.get(f"{base}/metrics") as answer:
            assert "kaitobus_messages_handled" in await answer.text()


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    try:
        async with http.get(url) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def test_what_providers_offer_can_be_read_by_all(bus: Bus) -> None:
    offers = [Offers(provider=name, published_at=datetime(2026, 1, 1, tzinfo=UTC)) for name in ("one", "two")]
    for offer in reversed(offers):
        await bus.offer(offer)
    assert await bus.offers() == tuple(offers)


async def test_a_provider_that_offers_gets_its_consumer(bus: Bus) -> None:
    await bus.offer(Offers(provider="mine", published_at=datetime(2026, 1, 1, tzinfo=UTC)))
    await Topology(bus.js, Metrics()).ensure()
    info = await bus.js.consumer_info(Stream.DEMANDS, "provisioner-mine")
    assert info.config.filter_subjects == ["kaito.demand.mine.>"]
