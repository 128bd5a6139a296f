"""The watcher on a real API server and a real nats-server."""

from __future__ import annotations

import time

import pytest

from services.chassis.bus import Bus
from services.chassis.kube import CONFIGMAPS, EVENTS, Conflict, JsonObject, KubeClient, ObjectRef, dig_dicts, dig_str
from services.contracts.conditions import Reason
from services.contracts.status import State
from services.contracts.workspace import FINALIZER
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
from tests.kubernetes.watcher_fixtures import all_is_well, held, plan, served, wanted, workspaces
from tests.plane import Kubectl
from tests.stack import AT_ONCE

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "workspaces"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


async def test_a_workspace_is_held_and_that_is_published(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        created = await workspaces.create()
        state = await eventually(lambda: held(bus, namespace))
        assert state is not None
        assert state.uid == dig_str(created, "metadata", "uid")
        assert await workspaces.finalizers() == [FINALIZER]


async def test_bad_workspaces_are_told_at_once_and_their_neighbours_do_not_notice(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, client: KubeClient
) -> None:
    async with running("watcher", wire, nats_server):
        await workspaces.create("first")
        await eventually(lambda: wanted(bus, namespace, "first"))
        began = time.monotonic()
        await workspaces.create("neither", inference=None)
        await workspaces.create(
            "labels",
            resource={"labelSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}},
        )
        await workspaces.create("config", inference={"preset": {"name": "p"}, "config": "missing"})
        await workspaces.create("a.dot")
        await workspaces.create("good")
        for name, reason in {
            "neither": Reason.INVALID_SPEC,
            "labels": Reason.INVALID_SPEC,
            "config": Reason.CONFIG_MAP_NOT_FOUND,
            "a.dot": Reason.INVALID_SPEC,
        }.items():
            await eventually(lambda name=name, reason=reason: told(workspaces, name, reason))  # type: ignore[misc]
        assert time.monotonic() - began < AT_ONCE
        await eventually(lambda: wanted(bus, namespace, "good"))
        for name in ("neither", "labels", "config", "a.dot"):
            assert await wanted(bus, namespace, name) is None
            assert await workspaces.finalizers(name) == []
            assert await client.delete(workspaces.ref(name))
            assert await workspaces.get(name) is None


async def told(workspaces: Workspaces, name: str, reason: Reason) -> bool:
    return await workspaces.reason(name) == str(reason)


async def test_a_config_map_that_comes_later_and_then_changes(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, client: KubeClient
) -> None:
    async def settings() -> str:
        state = await wanted(bus, namespace)
        return state.configs.get("inference_config.yaml", "") if state else ""

    config = ObjectRef(CONFIGMAPS, "settings", namespace)
    async with running("watcher", wire, nats_server):
        await workspaces.create(inference={"preset": {"name": "p"}, "config": "settings"})
        await eventually(lambda: told(workspaces, "w", Reason.CONFIG_MAP_NOT_FOUND))
        await client.create(
            CONFIGMAPS,
            {"metadata": {"name": "settings", "namespace": namespace}, "data": {"inference_config.yaml": "a"}},
        )
        await eventually(settings)
        for text in ("b", "a"):
            await client.merge_patch(config, {"data": {"inference_config.yaml": text}})

            async def is_there(text: str = text) -> bool:
                return await settings() == text

            await eventually(is_there)


async def test_the_status_tells_what_was_reported_and_kubectl_shows_it(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer, kubectl: Kubectl, client: KubeClient
) -> None:
    async with running("watcher", wire, nats_server):
        await served(bus, workspaces, namespace)
        status = await workspaces.status()
        assert status.plan == plan()
        assert status.plan.node_labels == {"apps": "phi", "kaito.sh/workspace": "w"}
        assert status.phases[0].started_at.microsecond == 123456
        assert status.worker_nodes == ("node-1",)
        header, row = (await kubectl("-n", namespace, "get", "workspace")).splitlines()
        assert header.split() == [
            "NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "STATE", "AGE",
        ]  # fmt: skip
        assert row.split()[:6] == ["w", "Standard_X", "True", "True", "True", "Ready"]
        await eventually(lambda: an_event(client, namespace, "WorkspaceReady:"))


async def an_event(client: KubeClient, namespace: str, words: str) -> bool:
    events = (await client.list(EVENTS, namespace=namespace)).items
    return any(dig_str(event, "message").startswith(words.rstrip(":")) for event in events)


async def test_a_report_that_says_the_same_again_is_not_written(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        state = await served(bus, workspaces, namespace)
        version = await resource_version(workspaces)
        await all_is_well(bus, state)

        async def unchanged() -> bool:
            return await resource_version(workspaces) == version

        await always(unchanged)


async def resource_version(workspaces: Workspaces) -> str:
    return dig_str(await workspaces.get(), "metadata", "resourceVersion")


async def test_a_version_in_a_patch_of_a_custom_resource_is_a_precondition(
    workspaces: Workspaces, client: KubeClient
) -> None:
    created = await workspaces.create()
    await client.merge_patch(workspaces.ref(), {"metadata": {"annotations": {"a": "b"}}})
    stale: JsonObject = {"metadata": {"resourceVersion": dig_str(created, "metadata", "resourceVersion")}, "status": {}}
    with pytest.raises(Conflict):
        await client.merge_patch(workspaces.ref(), stale, subresource="status")
    # A uid is none: it is dropped without a word, so every write names the version that it was decided on.
    other: JsonObject = {"metadata": {"uid": "another"}, "status": {"state": "Pending"}}
    await client.merge_patch(workspaces.ref(), other, subresource="status")
    assert (await workspaces.status()).state is State.PENDING


async def test_conditions_are_dated_in_whole_seconds_and_come_back_as_they_were_written(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        await served(bus, workspaces, namespace)
        for condition in dig_dicts(await workspaces.get(), "status", "conditions"):
            assert len(str(condition["lastTransitionTime"])) == len("2026-01-01T00:00:00Z")
