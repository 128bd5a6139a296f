"""What the tests of the deployer share: the scheduler's side of a workspace, and a node for its pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import NODES, PODS, SERVICES, STATEFULSETS, JsonObject, KubeClient, ObjectRef, dig, dig_str
from services.chassis.metrics import Metrics
from services.chassis.topology import Topology
from services.contracts import subjects
from services.contracts.conditions import Reason
from services.contracts.messages import PlanState, Report
from services.contracts.plan import Plan, PodResources
from services.contracts.subjects import ServiceName
from tests.kubernetes.service_fixtures import Workspaces, newest
from tests.unit.samples import plan as sample_plan


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
    obj: JsonObject = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"apps": "phi", "kaito.sh/workspace": "w"}},
    }
    await client.apply(obj, manager="test")
    await _beat(client, obj)
    beating = asyncio.create_task(_go_on_beating(client, obj))
    yield name
    beating.cancel()
    await client.delete(ObjectRef(NODES, name))


async def _go_on_beating(client: KubeClient, node: JsonObject) -> None:
    """Kubernetes takes a node that has not said for 40 s that it is well for dead, and its pods for not ready."""
    while True:
        await asyncio.sleep(10)
        await _beat(client, node)


async def _beat(client: KubeClient, node: JsonObject) -> None:
    room: JsonObject = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ready: JsonObject = {"type": "Ready", "status": "True", "reason": "Test", "message": "", "lastHeartbeatTime": now}
    status: JsonObject = {"capacity": room, "allocatable": room, "conditions": [ready]}
    await client.apply(node | {"status": status}, manager="test", subresource="status")


def plan(revision: int = 1, **changed: object) -> Plan:
    """The sample plan, with pods that fit on the node above."""
    return sample_plan(revision).model_copy(update={"pod": PodResources(cpu="100m", memory_gib=0.1)} | changed)


async def set_pod(planner: Planner, name: str, status: JsonObject) -> None:
    """Write a pod's status, as the kubelet would."""
    await planner.client.merge_patch(ObjectRef(PODS, name, planner.namespace), {"status": status}, subresource="status")


async def on_a_node(planner: Planner) -> bool:
    """Whether a pod has been given a node."""
    return any(dig_str(pod, "spec", "nodeName") for pod in await planner.pods())


async def replicas(planner: Planner, wanted: int) -> bool:
    """Whether the StatefulSet asks for so many pods."""
    return dig(await planner.stateful_set(), "spec", "replicas") == wanted
