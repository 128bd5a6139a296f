"""What the deployer makes of objects that are there already, in the cluster that others write to as well."""

from __future__ import annotations

import pytest

from services.chassis.kube import (
    SERVICES,
    STATEFULSETS,
    WORKSPACES,
    JsonObject,
    ObjectRef,
    dig,
    dig_dicts,
    dig_int,
    dig_str,
)
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts.conditions import Reason
from services.contracts.plan import Workload
from services.deployer.app import wire
from tests.integration.conftest import NatsServer
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.deployer_fixtures import Planner, plan, planner, replicas
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

__all__ = ["bus", "client", "crd", "cuttable", "namespace", "nats_server", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


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


async def test_what_another_manager_owns_is_left_to_it(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.stateful_set)
        ref = ObjectRef(STATEFULSETS, "w", planner.namespace)
        await planner.client.merge_patch(ref, {"metadata": {"annotations": {"mine": "stays"}}})
        await planner.publish(plan(2, nodes=2))
        await eventually(lambda: replicas(planner, 2))
        assert dig(await planner.stateful_set(), "metadata", "annotations", "mine") == "stays"


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
