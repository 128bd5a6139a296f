"""Workspaces that share a node of the provider `byo`, and those that want it whole."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable

import pytest

from services.chassis.kube import NODES, PODS, STATEFULSETS, JsonObject, KubeClient, ObjectRef, dig_dict, dig_str
from services.contracts.errors import ProviderError
from services.contracts.messages import Demand, PlanState, Report
from services.contracts.plan import PodResources
from services.contracts.workspace import share_label
from services.deployer.manifests import Images, render
from services.provisioner.provider import Owner
from tests.kubernetes.byo_fixtures import byo_demand, byo_provider, byo_report, byo_spec, gpu_node
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.unit.samples import plan

__all__ = ["world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_workspaces_share_a_node_and_their_pods_run_beside_each_other(world: World) -> None:
    before = await gpu_node(world.kube, f"{world.name}-0", apps=world.name)
    first, second, third = (_share(world, letter) for letter in "abc")
    async with world.provisioner("byo", refusal_seconds=1):
        for shared in (first, second):
            await world.bus.publish(shared)
            await _until_report_on(world, shared, ready)
        await world.bus.publish(third)
        said = await _until_report_on(world, third, lambda r: r.failure)
        assert said.failure is not None
        assert "is left with 0 free of 2 GPUs" in said.failure.message
        for shared in (first, second):
            await world.kube.create(STATEFULSETS, _workload(shared))
        for shared in (first, second):
            await until(functools.partial(_bound_to, world.kube, shared, f"{world.name}-0"))
        await world.bus.publish(first.model_copy(update={"nodes": 0, "plan_revision": 2}))
        await _until_report_on(world, third, ready)
        for shared in (second, third):
            await world.bus.publish(shared.model_copy(update={"nodes": 0, "plan_revision": 2}))
            await _until_report_on(world, shared, lambda r: r.released)
        after = await world.kube.get(ObjectRef(NODES, f"{world.name}-0"))
        for kept in ("labels", "annotations"):
            assert dig_dict(after, "metadata", kept) == dig_dict(before, "metadata", kept)


async def test_a_whole_node_and_shares_do_not_meet(world: World) -> None:
    await gpu_node(world.kube, f"{world.name}-0", apps=world.name)
    share = byo_spec(world).model_copy(update={"gpus": 1, "taints": ()})
    whole = byo_spec(world).model_copy(
        update={"owner": Owner(namespace="default", name="b", uid="b"), "name": "byo-b-0"}
    )
    async with byo_provider(world.kube) as provider:
        assert [(o.available, o.free_gpus, o.shared) for o in await provider.offers()] == [(1, 2, True)]
        instance = await provider.create(share)
        assert [(o.available, o.free_gpus) for o in await provider.offers()] == [(0, 1)]
        with pytest.raises(ProviderError, match=f"is shared by default/{world.name}"):
            await provider.create(whole)
        await provider.delete(instance)
        await provider.create(whole)
        with pytest.raises(ProviderError, match="is taken by default/b"):
            await provider.create(share)


def _share(world: World, letter: str) -> Demand:
    """A demand of one GPU, by a workspace of its own."""
    name, uid = f"{world.name}-{letter}", uuid.uuid4().hex
    labels = {"apps": world.name, share_label(uid): name}
    return byo_demand(world, 1).model_copy(update={"name": name, "uid": uid, "gpus": 1, "labels": labels, "taints": ()})


async def _until_report_on(world: World, demand: Demand, wanted: Callable[[Report], object]) -> Report:
    """As `byo_report`, of another workspace than the world's own."""
    own, world.name = world.name, demand.name
    try:
        return await byo_report(world, wanted)
    finally:
        world.name = own


def _workload(demand: Demand) -> JsonObject:
    """The StatefulSet that the deployer makes of a plan with that demand."""
    made = plan(1, provider="byo").model_copy(
        update={"shares_node": True, "pod": PodResources(gpus=demand.gpus or 0), "node_labels": demand.labels}
    )
    state = PlanState(namespace=demand.namespace, name=demand.name, uid=demand.uid, generation=1, plan=made)
    found = next(o for o in render(state, Images("none")) if o["kind"] == "StatefulSet")
    metadata = dig_dict(found, "metadata")
    return {**found, "metadata": {k: v for k, v in metadata.items() if k != "ownerReferences"}}


async def _bound_to(kube: KubeClient, demand: Demand, node: str) -> bool:
    """Whether Kubernetes' own scheduler has put the workspace's pod on the node."""
    pods = await kube.list(PODS, namespace=demand.namespace, labels=f"kaito.sh/workspace={demand.name}")
    return [dig_str(pod, "spec", "nodeName") for pod in pods.items] == [node]
