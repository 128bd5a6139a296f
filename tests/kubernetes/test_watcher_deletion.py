"""A workspace that is deleted, and its namesake: when it goes, and what the bus keeps of it."""

from __future__ import annotations

import pytest

from services.chassis.bus import Bus
from services.chassis.kube import KubeClient
from services.contracts.conditions import ConditionType
from services.contracts.messages import WorkspaceState
from services.contracts.status import State
from services.contracts.subjects import PREFIX, ServiceName, Stream
from services.watcher.app import wire
from tests.integration.conftest import NatsServer
from tests.kubernetes.service_fixtures import (
    Workspaces,
    always,
    bus,
    client,
    crd,
    eventually,
    namespace,
    nats_server,
    running,
)
from tests.kubernetes.watcher_fixtures import held, is_in, report, served, wanted, workspaces

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "workspaces"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


async def test_a_deleted_workspace_goes_when_the_scheduler_has_released_it_and_the_bus_forgets_it(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, client: KubeClient
) -> None:
    async with running("watcher", wire, nats_server):
        await served(bus, workspaces, namespace)
        await client.delete(workspaces.ref())
        state = await eventually(lambda: going(bus, namespace))
        assert state is not None
        await eventually(lambda: is_in(workspaces, State.DELETING))
        await bus.publish(report(state, ServiceName.DEPLOYER, released=True))
        await always(workspaces.get, 0.5)
        await bus.publish(report(state, ServiceName.SCHEDULER, released=True))
        await eventually(lambda: gone(workspaces))

        async def nothing_kept() -> bool:
            """Of this one: others of the cluster may be left by tests before."""
            streams = (Stream.WORKSPACES, Stream.PLANS, Stream.REPORTS)
            infos = [await bus.js.stream_info(stream, subjects_filter=f"{PREFIX}.>") for stream in streams]
            subjects = [subject for info in infos for subject in info.state.subjects or {}]
            return not any(subject.split(".")[-2] == namespace for subject in subjects)

        await eventually(nothing_kept)
        assert (await bus.js.stream_info(Stream.HISTORY)).state.messages


async def going(bus: Bus, namespace: str) -> WorkspaceState | None:
    state = await wanted(bus, namespace)
    return state if state and state.deleting else None


async def gone(workspaces: Workspaces) -> bool:
    return await workspaces.get() is None


async def test_a_finalizer_removed_by_force_is_told(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, client: KubeClient
) -> None:
    async with running("watcher", wire, nats_server):
        await workspaces.create()
        await eventually(lambda: held(bus, namespace))
    await client.merge_patch(workspaces.ref(), {"metadata": {"finalizers": None}})
    await client.delete(workspaces.ref())
    async with running("watcher", wire, nats_server):
        await eventually(lambda: going(bus, namespace))


async def test_a_namesake_made_at_once_is_another_workspace(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, client: KubeClient
) -> None:
    async with running("watcher", wire, nats_server):
        old = await served(bus, workspaces, namespace)
        await client.delete(workspaces.ref())
        await bus.publish(report(old, ServiceName.SCHEDULER, released=True))
        await eventually(lambda: gone(workspaces))
        await workspaces.create()

        async def published_anew() -> bool:
            state = await wanted(bus, namespace)
            return state is not None and state.uid != old.uid and not state.deleting

        await eventually(published_anew)
        await bus.publish(report(old, ServiceName.DEPLOYER, ConditionType.INFERENCE_READY, endpoint="http://old"))
        assert (await workspaces.status()).endpoint is None
