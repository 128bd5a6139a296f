"""The watcher while the API server or the bus is away, hears nonsense, or is there twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.chassis.bus import Bus
from services.contracts import subjects
from services.contracts.conditions import ConditionType
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import ServiceName, Stream
from services.watcher.app import wire
from tests.integration.conftest import NatsServer
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.service_fixtures import (
    Workspaces,
    always,
    bus,
    client,
    crd,
    cuttable,
    eventually,
    namespace,
    nats_server,
    running,
)
from tests.kubernetes.watcher_fixtures import plan_of, report, served, wanted, workspaces

__all__ = ["bus", "client", "crd", "cuttable", "namespace", "nats_server", "workspaces"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


async def test_a_message_that_nobody_can_read_hurts_nobody(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        await workspaces.create()
        state = await eventually(lambda: wanted(bus, namespace))
        assert state is not None
        await bus.js.publish(subjects.report(ServiceName.DEPLOYER, namespace, "w"), b"{not json")
        await bus.publish(plan_of(state))
        await bus.publish(report(state, ServiceName.SCHEDULER, ConditionType.PLAN_READY))
        await eventually(lambda: has_plan(workspaces))

        async def one_letter() -> bool:
            return bool((await bus.js.stream_info(Stream.DLQ)).state.messages == 1)

        await eventually(one_letter)
        await always(one_letter, 0.5)


async def has_plan(workspaces: Workspaces) -> bool:
    return (await workspaces.status()).plan is not None


async def test_the_api_server_is_away_for_a_while_and_work_goes_on(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, cuttable: CuttableWire
) -> None:
    async with running("watcher", wire, nats_server):
        await served(bus, workspaces, namespace)
        before = await workspaces.status()
        cuttable.cut()
        await workspaces.create("after")
        assert await wanted(bus, namespace, "after") is None
        cuttable.mend()
        await eventually(lambda: wanted(bus, namespace, "after"))
        assert await workspaces.status() == before


async def test_the_whole_bus_is_wiped_and_the_status_stays_and_work_goes_on(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        await served(bus, workspaces, namespace)
        before = await workspaces.status()
        await nats_server.wipe()
        state = await eventually(lambda: wanted(bus, namespace))
        assert state is not None
        assert state.plan == before.plan
        assert await workspaces.status() == before
        failing = report(state, ServiceName.DEPLOYER, endpoint=None)
        await bus.publish(failing)
        await always(lambda: same_conditions(workspaces, before.conditions), 0.5)


async def same_conditions(workspaces: Workspaces, conditions: object) -> bool:
    return (await workspaces.status()).conditions == conditions


async def test_of_two_watchers_one_publishes_and_both_together_do_no_harm(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server, count=2) as (one, two):
        await served(bus, workspaces, namespace)
        states = [m async for m in history(bus, subjects.workspace(namespace, "w"))]
        assert len({m.uid for m in states}) == 1
        assert len(states) == len({m.message_id for m in states})
        for each in (one, two):
            assert await eventually(lambda each=each: is_ready(each.health.problems))  # type: ignore[misc]


async def is_ready(problems: object) -> bool:
    assert callable(problems)
    return not await problems()


async def history(bus: Bus, subject: str) -> AsyncIterator[WorkspaceState]:
    for sequence in range(1, (await bus.js.stream_info(Stream.HISTORY)).state.last_seq + 1):
        raw = await bus.js.get_msg(Stream.HISTORY, sequence)
        if raw.subject == subject:
            yield WorkspaceState.model_validate_json(raw.data or b"")
