"""What the tests of the provider `byo` share: nodes with GPUs, and a demand for them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from services.chassis.kube import NODES, JsonObject, KubeClient, ObjectRef, dig_dict, dig_dicts, dig_list
from services.contracts.messages import Demand, Report
from services.provisioner.node_facts import demanded_labels
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec, Owner, instance_name
from services.provisioner.providers.byo import ByoProvider
from tests.kubernetes.provisioner_fixtures import World, until

SIZE = "byo-A100-80GB-x2"
GFD = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.memory": "81920",
}


@asynccontextmanager
async def byo_provider(kube: KubeClient) -> AsyncIterator[ByoProvider]:
    """The provider, with an eye on the nodes."""
    nodes = Nodes(kube, "byo")
    watch = asyncio.create_task(nodes.run())
    try:
        yield ByoProvider(kube, nodes)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def byo_demand(world: World, nodes: int, revision: int = 1) -> Demand:
    """Nodes of the size that `gpu_node` makes."""
    return world.demand(nodes, revision, provider="byo", size=SIZE)


def byo_spec(world: World, index: int = 0) -> InstanceSpec:
    """One machine for the world's workspace."""
    demand = byo_demand(world, 1)
    return InstanceSpec(
        name=instance_name("byo", world.uid, index), owner=Owner.of(demand), instance_type=SIZE,
        labels=demanded_labels(demand, simulated=False), taints=demand.taints,
    )  # fmt: skip


async def gpu_node(kube: KubeClient, name: str, *, ready: bool = True, gfd: bool = True, **labels: str) -> JsonObject:
    """A node as a kubelet and GPU Feature Discovery would leave it, once Kubernetes has let it in."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    capacity = {"cpu": "32", "memory": "263856984Ki", "pods": "110", "nvidia.com/gpu": "2"}
    condition = {
        "type": "Ready", "status": "True" if ready else "False", "reason": "Kubelet", "message": "as the test says",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }  # fmt: skip
    body: JsonObject = {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": (GFD if gfd else {}) | labels, "annotations": {"own": "kept"}},
        "spec": {"taints": [{"key": "own", "value": "kept", "effect": "PreferNoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity, "conditions": [condition]},
    }  # fmt: skip
    await kube.create(NODES, body)
    return await until(functools.partial(_settled, kube, name, ready))


async def _settled(kube: KubeClient, name: str, ready: bool) -> JsonObject | None:
    """The node, once Kubernetes' own controllers have written to it what they write to every node."""
    node = await kube.get(ObjectRef(NODES, name))
    taints = [taint for taint in dig_dicts(node, "spec", "taints") if taint.get("key") != "own"]
    settled = dig_list(node, "spec", "podCIDRs") or "node.alpha.kubernetes.io/ttl" in dig_dict(
        node, "metadata", "annotations"
    )
    return node if settled and bool(taints) is not ready else None


async def byo_report(world: World, wanted: Callable[[Report], object]) -> Report:
    """The newest report that is as wanted."""
    return await world.until_report(wanted, provider="byo")
