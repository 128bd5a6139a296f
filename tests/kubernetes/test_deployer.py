"""The deployer on a real API server, controller-manager and scheduler, and a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import (
    NODES,
    PODS,
    SERVICES,
    STATEFULSETS,
    WORKSPACES,
    JsonObject,
    KubeClient,
    ObjectRef,
    dig,
    dig_dicts,
    dig_int,
    dig_str,
)
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts import subjects
from services.contracts.conditions import Reason
from services.contracts.messages import PlanState, Report
from services.contracts.plan import Plan, PodResources, Workload
from services.contracts.subjects import ServiceName
from services.deployer import leftovers
from services.deployer.app import wire
from services.deployer.deployer import Deployer
from services.deployer.manifests import Images
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
    newest,
    running,
)
from tests.unit.samples import plan as sample_plan

__all__ = ["bus", "client", "crd", "cuttable", "namespace", "nats_server"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


class Planner:
    """The scheduler's side: publishes plans for one workspace, and sees what becomes of them."""

    def __init__(self, client: KubeClient, bus: Bus, namespace: str, uid: str, name: str = "w") -> None:
        self.client = client
        self.name = name
        self.bus = bus
        self.namespace = namespace
        self.uid = uid

    def state(self, made: Plan, *, retired: bool = False) -> PlanState:
        return PlanState(
            namespace=self.namespace, name=self.name, uid=self.uid, generation=1, plan=made, retired=retired
        )

    async def publish(self, made: Plan, *, retired: bool = False) -> PlanState:
        state = self.state(made, retired=retired)
        await self.bus.publish(state)
        return state

    async def report(self) -> Report | None:
        return await newest(self.bus, Report, subjects.report(ServiceName.DEPLOYER, self.namespace, self.name))

    async def reported(self, reason: Reason) -> Report | None:
        found = await self.report()
        return found if found and any(c.reason == reason for c in found.conditions) else None

    async def released(self) -> bool:
        found = await self.report()
        return found is not None and found.released

    async def stateful_set(self) -> JsonObject | None:
        return await self.client.get(ObjectRef(STATEFULSETS, self.name, self.namespace))

    async def services(self) -> set[str]:
        found = await self.client.list(SERVICES, namespace=self.namespace)
        return {dig_str(obj, "metadata", "name") for obj in found.items}

    async def has_its_services(self) -> bool:
        return await self.services() == {"w", "w-headless"}

    async def pods(self) -> list[JsonObject]:
        return (await self.client.list(PODS, namespace=self.namespace)).items


@pytest_asyncio.fixture(loop_scope="session")
async def planner(client: KubeClient, bus: Bus, namespace: str) -> Planner:
    """For a workspace that exists: Kubernetes collects objects whose owner does not."""
    await Topology(bus.js, Metrics()).ensure()
    created = await Workspaces(client, namespace).create()
    return Planner(client, bus, namespace, dig_str(created, "metadata", "uid"))


@pytest_asyncio.fixture(loop_scope="session")
async def node(client: KubeClient) -> AsyncIterator[str]:
    """A node with the labels of the sample plan, that runs nothing by itself."""
    name = "deployer-test"
    status: JsonObject = {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}],
    }
    obj: JsonObject = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"apps": "phi", "kaito.sh/workspace": "w"}},
    }
    await client.apply(obj, manager="test")
    await client.apply(obj | {"status": status}, manager="test", subresource="status")
    yield name
    await client.delete(ObjectRef(NODES, name))


def plan(revision: int = 1, **changed: object) -> Plan:
    return sample_plan(revision).model_copy(update={"pod": PodResources(cpu="100m", memory_gib=0.1)} | changed)


async def set_pod(planner: Planner, name: str, status: JsonObject) -> None:
    await planner.client.merge_patch(ObjectRef(PODS, name, planner.namespace), {"status": status}, subresource="status")


async def test_a_plan_becomes_objects_and_a_report(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        found = await eventually(planner.stateful_set)
        assert dig(found, "spec", "replicas") == 1
        await eventually(planner.has_its_services)
        report = await eventually(lambda: planner.reported(Reason.INFERENCE_PENDING_NODES))
        assert report is not None
        assert (report.uid, report.plan_revision, report.endpoint) == (planner.uid, 1, None)
        assert "waits for its node" in report.conditions[0].message


async def test_a_pod_is_followed_until_it_serves_and_when_it_does_not_any_more(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(lambda: on_a_node(planner))
        await set_pod(
            planner,
            "w-0",
            {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "inference", "image": "i", "imageID": "", "restartCount": 2, "ready": False,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 1, "message": "no such model"}},
                    }
                ],
            },
        )  # fmt: skip
        crashed = await eventually(lambda: planner.reported(Reason.CONTAINER_CRASH_LOOP))
        assert crashed is not None
        assert "no such model" in crashed.conditions[0].message
        await set_pod(planner, "w-0", {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []})
        ready = await eventually(lambda: planner.reported(Reason.INFERENCE_READY))
        assert ready is not None
        assert ready.endpoint == f"http://w.{planner.namespace}.svc.cluster.local"
        await planner.client.delete(ObjectRef(PODS, "w-0", planner.namespace), grace_seconds=0)
        await eventually(lambda: not_serving(planner))


async def on_a_node(planner: Planner) -> bool:
    return any(dig_str(pod, "spec", "nodeName") for pod in await planner.pods())


async def not_serving(planner: Planner) -> bool:
    report = await planner.report()
    return report is not None and report.endpoint is None


async def test_a_retired_plan_takes_all_down_and_says_so_when_no_pod_is_left(
    planner: Planner, nats_server: NatsServer
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.pods)
        await eventually(planner.has_its_services)
        await planner.publish(plan(), retired=True)
        await eventually(planner.released)
        assert await planner.pods() == []
        assert await planner.stateful_set() is None
        assert await planner.services() == set()
        await always(planner.released, 1)


async def test_of_a_pod_that_takes_long_to_end_it_is_told_which_and_on_what_node(
    planner: Planner, nats_server: NatsServer, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "SLOW", timedelta())

    async def bound() -> bool:
        return [dig_str(pod, "spec", "nodeName") for pod in await planner.pods()] == [node]

    async def told() -> bool:
        found = await planner.report()
        return found is not None and f"pod w-0 on node {node}, which was told to end at" in (found.next_step or "")

    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(bound)
        await planner.publish(plan(), retired=True)
        await eventually(told)  # nobody on that node ends it
        assert not await planner.released()
        await planner.client.delete(ObjectRef(PODS, "w-0", planner.namespace), grace_seconds=0)
        await eventually(planner.released)


async def test_objects_that_somebody_deletes_are_made_again(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        old = await eventually(planner.stateful_set)
        await eventually(planner.pods)
        await planner.client.delete(ObjectRef(STATEFULSETS, "w", planner.namespace))
        await planner.client.delete(ObjectRef(SERVICES, "w", planner.namespace))

        async def made_again() -> bool:
            found = await planner.stateful_set()
            uid = dig_str(found, "metadata", "uid")
            return bool(uid) and uid != dig_str(old, "metadata", "uid") and "w" in await planner.services()

        await eventually(made_again)


async def test_the_same_plan_again_changes_nothing(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(lambda: planner.reported(Reason.INFERENCE_PENDING_NODES))
        await eventually(planner.has_its_services)
        before = await generations(planner)
    async with running("deployer", wire, nats_server):
        await planner.bus.js.publish(
            planner.state(plan()).subject, planner.state(plan()).to_json(), headers={"Nats-Msg-Id": "again"}
        )

        async def the_same() -> bool:
            return await generations(planner) == before

        await always(the_same, 2)


async def generations(planner: Planner) -> dict[str, int | None]:
    found = [await planner.stateful_set()]
    found += (await planner.client.list(SERVICES, namespace=planner.namespace)).items
    pods = {dig_str(pod, "metadata", "name"): dig_int(pod, "metadata", "generation") for pod in await planner.pods()}
    uids = {dig_str(obj, "metadata", "uid"): dig_int(obj, "metadata", "generation") for obj in found}
    return pods | uids


async def test_a_newer_plan_changes_the_workload(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.stateful_set)
        await planner.publish(plan(2, nodes=2))
        await eventually(lambda: replicas(planner, 2))

        async def of_the_newer() -> bool:
            report = await planner.report()
            return report is not None and report.plan_revision == 2

        await eventually(of_the_newer)


async def replicas(planner: Planner, wanted: int) -> bool:
    return dig(await planner.stateful_set(), "spec", "replicas") == wanted


async def test_what_another_manager_owns_is_left_to_it(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.stateful_set)
        ref = ObjectRef(STATEFULSETS, "w", planner.namespace)
        await planner.client.merge_patch(ref, {"metadata": {"annotations": {"mine": "stays"}}})
        await planner.publish(plan(2, nodes=2))
        await eventually(lambda: replicas(planner, 2))
        assert dig(await planner.stateful_set(), "metadata", "annotations", "mine") == "stays"


async def test_what_the_api_server_refuses_is_reported_in_its_words(planner: Planner, nats_server: NatsServer) -> None:
    bad: JsonObject = {"spec": {"containers": [{"name": "Not_A_Name", "image": "i"}]}}
    async with running("deployer", wire, nats_server):
        await planner.publish(plan(workload=Workload.TEMPLATE, template=bad))
        report = await eventually(lambda: planner.reported(Reason.WORKLOAD_REFUSED))
        assert report is not None
        assert "Not_A_Name" in report.conditions[0].message


async def test_a_template_of_the_users_own_runs_on_the_nodes_of_the_plan(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    own: JsonObject = {
        "spec": {"containers": [{"name": "own", "image": "own:1", "env": [{"name": "A", "value": "1"}]}]}
    }
    async with running("deployer", wire, nats_server):
        await planner.publish(plan(workload=Workload.TEMPLATE, template=own))
        await eventually(lambda: on_a_node(planner))
        (pod,) = await planner.pods()
        assert dig_str(pod, "spec", "nodeName") == node
        assert dig(dig_dicts(pod, "spec", "containers")[0], "env") == [{"name": "A", "value": "1"}]


async def test_what_a_new_plan_leaves_out_goes_and_what_others_added_stays(
    planner: Planner, nats_server: NatsServer
) -> None:
    def pod(variable: str) -> JsonObject:
        return {"spec": {"containers": [{"name": "o", "image": "o:1", "env": [{"name": variable, "value": "1"}]}]}}

    async with running("deployer", wire, nats_server):
        await planner.publish(plan(workload=Workload.TEMPLATE, template=pod("A")))
        await eventually(planner.stateful_set)
        await planner.client.merge_patch(
            ObjectRef(STATEFULSETS, "w", planner.namespace), {"metadata": {"annotations": {"theirs": "kept"}}}
        )
        await planner.publish(plan(2, workload=Workload.TEMPLATE, template=pod("B")))

        async def has_only_b() -> bool:
            (container,) = dig_dicts(await planner.stateful_set(), "spec", "template", "spec", "containers")
            return dig(container, "env") == [{"name": "B", "value": "1"}]

        await eventually(has_only_b)
        assert dig(await planner.stateful_set(), "metadata", "annotations", "theirs") == "kept"


async def test_an_earlier_workspaces_workload_makes_room_for_that_of_a_namesake(
    planner: Planner, nats_server: NatsServer
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.pods)
        await planner.client.delete(ObjectRef(WORKSPACES, "w", planner.namespace))
        created = await Workspaces(planner.client, planner.namespace).create()
        namesake = Planner(planner.client, planner.bus, planner.namespace, dig_str(created, "metadata", "uid"))
        await namesake.publish(plan())

        async def belongs_to_the_namesake() -> bool:
            labels = dig(await namesake.stateful_set(), "metadata", "labels")
            return isinstance(labels, dict) and labels["kaito.sh/workspace-uid"] == namesake.uid

        await eventually(belongs_to_the_namesake)


async def test_the_api_server_is_away_for_a_while_and_the_whole_bus_is_wiped(
    planner: Planner, nats_server: NatsServer, cuttable: CuttableWire
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(lambda: planner.reported(Reason.INFERENCE_PENDING_NODES))
        await eventually(planner.has_its_services)
        before = await generations(planner)
        cuttable.cut()
        await nats_server.wipe()
        cuttable.mend()

        async def connected() -> bool:
            return planner.bus.connected

        await eventually(connected)
        await Topology(planner.bus.js, Metrics()).ensure()
        await planner.publish(plan())
        await eventually(lambda: planner.reported(Reason.INFERENCE_PENDING_NODES))
        assert await generations(planner) == before


async def test_what_was_seen_before_a_workload_went_does_not_hide_that_it_is_gone(
    planner: Planner, client: KubeClient
) -> None:
    """A look that takes long, since the log of a crashed pod does not come, while the workspace is deleted."""
    deployer = Deployer(client, planner.bus, Images("i"), None)
    state = await planner.publish(plan())
    await eventually(lambda: newest(planner.bus, PlanState, state.subject))
    last = await planner.bus.last(Report, subjects.report(ServiceName.DEPLOYER, planner.namespace, "w"))
    retired = await planner.publish(plan(), retired=True)
    await eventually(lambda: is_newest(planner, retired))
    assert await deployer.on_plan(retired) is None
    assert await planner.bus.last(Report, subjects.report(ServiceName.DEPLOYER, planner.namespace, "w")) != last
    assert await deployer.look(planner.namespace, "w") is None

    async def carried_out() -> bool:
        return await deployer.on_plan(state) is None  # redelivered late: what counts is the newest

    await eventually(carried_out)
    assert await eventually(planner.released)


async def is_newest(planner: Planner, state: PlanState) -> bool:
    return await newest(planner.bus, PlanState, state.subject) == state
