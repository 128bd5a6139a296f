"""The watcher on a real API server and a real nats-server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import (
    CONFIGMAPS,
    EVENTS,
    Conflict,
    JsonObject,
    KubeClient,
    ObjectRef,
    dig_dicts,
    dig_str,
)
from services.contracts import subjects
from services.contracts.conditions import ConditionType, Reason, true
from services.contracts.messages import NodeReport, Phase, PlanState, Report, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.status import State
from services.contracts.subjects import PREFIX, ServiceName, Stream
from services.contracts.workspace import FINALIZER
from services.watcher.app import wire
from tests.integration.conftest import NatsServer
from tests.kubernetes.conftest import Kubectl
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
    newest,
    running,
)
from tests.stack import AT_ONCE
from tests.unit.samples import NOW
from tests.unit.samples import plan as sample_plan

__all__ = ["bus", "client", "crd", "cuttable", "namespace", "nats_server"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


@pytest_asyncio.fixture(loop_scope="session")
async def workspaces(client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workspaces]:
    """The workspaces of the test's namespace, in which the Lease is too; what is left at the end is set free."""
    monkeypatch.setenv("KAITOBUS_LEASE_NAMESPACE", namespace)
    made = Workspaces(client, namespace)
    yield made
    for obj in (await client.list(made.ref().resource, namespace=namespace)).items:
        ref = made.ref(dig_str(obj, "metadata", "name"))
        await client.delete(ref)
        if await client.get(ref):
            await client.merge_patch(ref, {"metadata": {"finalizers": None}})


async def wanted(bus: Bus, namespace: str, name: str = "w") -> WorkspaceState | None:
    return await newest(bus, WorkspaceState, subjects.workspace(namespace, name))


def plan(**changed: object) -> Plan:
    return sample_plan().model_copy(
        update={"instance_type": "Standard_X", "fixed": sample_plan().fixed.model_copy(
            update={"instance_type": "Standard_X", "labels": {"apps": "w"}})} | changed
    )  # fmt: skip


def plan_of(state: WorkspaceState, made: Plan | None = None, *, retired: bool = False) -> PlanState:
    return PlanState(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation,
        plan=made or plan(), retired=retired,
    )  # fmt: skip


def report(state: WorkspaceState, service: ServiceName, *types: ConditionType, **of: object) -> Report:
    made = Report(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation, service=service,
        plan_revision=1, conditions=tuple(true(t, Reason.PLANNED, "As it should be.") for t in types),
    )  # fmt: skip
    return made.model_copy(update=of)


async def all_is_well(bus: Bus, state: WorkspaceState) -> None:
    """What the other services would publish for a workspace that serves."""
    nodes = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    booted = Phase(name="boots", started_at=NOW.replace(microsecond=123456), finished_at=NOW)
    await bus.publish(plan_of(state))
    await bus.publish(report(state, ServiceName.SCHEDULER, ConditionType.PLAN_READY))
    await bus.publish(
        report(
            state, ServiceName.PROVISIONER, *nodes, provider="azure", phases=(booted,),
            nodes=(NodeReport(name="node-1", ready=True),),
        )
    )  # fmt: skip
    await bus.publish(report(state, ServiceName.DEPLOYER, ConditionType.INFERENCE_READY, endpoint="http://w"))


async def served(bus: Bus, workspaces: Workspaces, namespace: str) -> WorkspaceState:
    """A workspace that was applied, published and reported as ready."""
    await workspaces.create()
    state = await eventually(lambda: wanted(bus, namespace))
    assert state is not None
    await all_is_well(bus, state)
    await eventually(lambda: is_in(workspaces, State.READY))
    return state


async def is_in(workspaces: Workspaces, state: State) -> bool:
    return (await workspaces.status()).state is state


async def test_a_workspace_is_held_then_published(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        created = await workspaces.create()
        state = await eventually(lambda: wanted(bus, namespace))
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


async def test_a_message_that_nobody_can_read_hurts_nobody(
    workspaces: Workspaces, bus: Bus, namespace: str, nats_server: NatsServer
) -> None:
    async with running("watcher", wire, nats_server):
        await workspaces.create()
        state = await eventually(lambda: wanted(bus, namespace))
        assert state is not None
        await bus.js.publish(subjects.report(ServiceName.DEPLOYER, namespace, "w"), b"{not json")
        await bus.publish(plan_of(state))
        await eventually(lambda: has_plan(workspaces))

        async def one_letter() -> bool:
            return bool((await bus.js.stream_info(Stream.DLQ)).state.messages == 1)

        await eventually(one_letter)
        await always(one_letter, 0.5)


async def has_plan(workspaces: Workspaces) -> bool:
    return (await workspaces.status()).plan is not None


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
        await eventually(lambda: wanted(bus, namespace))
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
