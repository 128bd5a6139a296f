"""A workspace that asks for a spot machine: the taint that its cloud puts on the node does not keep the pod away."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chassis.kube import PODS, JsonObject, ObjectRef, dig, dig_dict, dig_dicts, dig_str
from services.contracts.messages import PlanState
from services.contracts.offers import Offer
from services.contracts.plan import PodResources, Workload
from services.deployer.manifests import Images, render
from services.provisioner.provider import instance_name
from services.provisioner.providers.azure.naming import AGENT_POOL, pool_name
from tests.integration.azure_cloud import SIZE, cloud_on, sku
from tests.kubernetes.kubelet import join
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.unit.samples import plan

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

SPOT = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
OWN_POD: JsonObject = {"spec": {"containers": [{"name": "own", "image": "own:1"}]}}


async def test_the_pod_of_a_plan_lands_on_the_spot_node_that_was_brought_for_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cloud_on(tmp_path, monkeypatch) as azure:
        azure.arm.skus = [sku(SIZE)]
        async with world.provisioner("azure"):
            await world.bus.publish(world.demand(1, 1, "azure", SIZE, spot="true"))
            await world.until_report(lambda r: r.nodes, provider="azure")
            pool = azure.arm.state.pools[pool_name(instance_name("azure", world.uid, 0))]
            labels = dig_dict(pool.properties, "nodeLabels")
            await join(world.kube, f"aks-{pool.name}", labels | {AGENT_POOL: pool.name}, pool.taints)
            azure.arm.state.succeed(pool.name)
            await world.until_report(ready, provider="azure")
            (node,) = await world.nodes()
            assert SPOT in dig_dicts(node, "spec", "taints")

            await world.kube.create(PODS, pod(world, await offer(world)))
            bound = await until(lambda: placed(world), 20)
            assert bound == f"aks-{pool.name}"
            await world.kube.delete(ObjectRef(PODS, f"{world.name}-0", "default"), grace_seconds=0)


async def offer(world: World) -> Offer:
    (offers,) = await world.bus.offers()
    found = offers.find(SIZE)
    assert found is not None
    return found


def pod(world: World, chosen: Offer) -> JsonObject:
    """The pod that the deployer makes for a plan by this offer, as the StatefulSet's controller would name it."""
    made = plan(workload=Workload.TEMPLATE, template=OWN_POD, taints=("sku=gpu:NoSchedule",), tolerates=chosen.taints)
    made = made.model_copy(update={"node_labels": {"apps": world.name}, "pod": PodResources()})
    state = PlanState(namespace="default", name=world.name, uid=world.uid, generation=1, plan=made)
    (workload,) = [o for o in render(state, Images("unused:1")) if o["kind"] == "StatefulSet"]
    template = dig_dict(workload, "spec", "template")
    metadata = {"name": f"{world.name}-0", "namespace": "default", "labels": dig(template, "metadata", "labels")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


async def placed(world: World) -> str:
    return dig_str(await world.pod(f"{world.name}-0"), "spec", "nodeName")
