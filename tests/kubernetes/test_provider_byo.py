"""The provider `byo` on a real API server: nodes that are there already are claimed and given back."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from services.chassis.kube import (
    NODES,
    PODS,
    STATEFULSETS,
    JsonObject,
    KubeClient,
    ObjectRef,
    dig,
    dig_dict,
    dig_dicts,
    dig_list,
    dig_str,
)
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.messages import Demand, PlanState, Report
from services.contracts.plan import PodResources
from services.contracts.workspace import share_label
from services.deployer.manifests import Images, render
from services.provisioner.node_facts import demanded_labels
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec, Owner, instance_name
from services.provisioner.providers.byo import ByoProvider
from services.provisioner.providers.byo.claims import RECORD
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.unit.samples import plan

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = "byo-A100-80GB-x2"
GFD = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.memory": "81920",
}


async def test_a_demand_takes_nodes_that_are_there_and_zero_leaves_them_as_they_were(world: World) -> None:
    before = [await _node(world.kube, f"{world.name}-{i}", apps=world.name) for i in range(3)]
    async with world.provisioner("byo"):
        await world.bus.publish(_demand(world, 2))
        said = await _until_report(world, ready)
        assert [n.name for n in said.nodes] == [f"{world.name}-0", f"{world.name}-1"]
        for node in await world.nodes():
            assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in dig_dicts(node, "spec", "taints")
        await world.bus.publish(_demand(world, 1, 2))
        await _until_report(world, lambda r: r.plan_revision == 2 and ready(r))
        await until(functools.partial(_as_it_was, world.kube, before[1]))
        await world.bus.publish(_demand(world, 0, 3))
        await _until_report(world, lambda r: r.released)
        for node in before:
            assert await _as_it_was(world.kube, node)


async def test_what_the_loop_has_put_on_a_node_goes_too(world: World) -> None:
    before = await _node(world.kube, f"{world.name}-0", apps=world.name)
    async with world.provisioner("byo"):
        await world.bus.publish(_demand(world, 1))
        await _until_report(world, ready)
        more = _demand(world, 1, 2).model_copy(update={"labels": {"apps": world.name, "later": "yes"}})
        await world.bus.publish(more)
        await _until_report(world, lambda r: r.plan_revision == 2 and ready(r))
        assert dig_str((await world.nodes())[0], "metadata", "labels", "later") == "yes"
        await world.bus.publish(_demand(world, 0, 3))
        await _until_report(world, lambda r: r.released)
        assert await _as_it_was(world.kube, before)


async def test_two_claims_never_take_the_same_node(world: World) -> None:
    for i in range(6):
        await _node(world.kube, f"{world.name}-{i}", apps=world.name)
    specs = [_spec(world, index) for index in range(6)]
    async with _provider(world.kube) as one, _provider(world.kube) as two:
        made = await asyncio.gather(*((one, two)[i % 2].create(spec) for i, spec in enumerate(specs)))
        assert len({instance.node_name for instance in made}) == 6
        with pytest.raises(ProviderError, match="is taken by default/") as caught:
            await one.create(_spec(world, 6))
        assert caught.value.code is FailureCode.INSUFFICIENT_CAPACITY


async def test_two_processes_that_claim_for_the_same_machine_take_one_node(world: World) -> None:
    for i in range(3):
        await _node(world.kube, f"{world.name}-{i}", apps=world.name)
    spec = _spec(world)
    async with _provider(world.kube) as one, _provider(world.kube) as two:
        made = await asyncio.gather(*(provider.create(spec) for provider in (one, two, one, two)))
        assert len({instance.id for instance in made}) == 1
        assert len(await world.nodes()) == 1
    async with _provider(world.kube) as anew:
        assert (await anew.create(spec)).id == made[0].id


async def test_preferred_nodes_come_first_and_get_the_labels_while_they_are_claimed(world: World) -> None:
    await _node(world.kube, f"{world.name}-a", apps=world.name)
    before = await _node(world.kube, f"{world.name}-b")
    spec = _spec(world).model_copy(update={"preferred_nodes": ("gone", f"{world.name}-b")})
    async with _provider(world.kube) as provider:
        instance = await provider.create(spec)
        assert instance.node_name == f"{world.name}-b"
        assert dig_str((await world.nodes())[0], "metadata", "labels", "apps") == world.name
        await provider.delete(instance)
        assert await _as_it_was(world.kube, before)
        assert await provider.list() == ()


async def test_cordoned_and_unready_nodes_are_not_free(world: World) -> None:
    await _node(world.kube, f"{world.name}-a", apps=world.name)
    await _node(world.kube, f"{world.name}-b", ready=False, apps=world.name)
    await world.kube.merge_patch(ObjectRef(NODES, f"{world.name}-a"), {"spec": {"unschedulable": True}})
    async with _provider(world.kube) as provider:
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 0)]
        with pytest.raises(ProviderError) as caught:
            await provider.create(_spec(world))
        assert f"{world.name}-a is cordoned, {world.name}-b is not ready" in caught.value.message
        await world.kube.merge_patch(ObjectRef(NODES, f"{world.name}-a"), {"spec": {"unschedulable": None}})
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 1)]
        assert (await provider.create(_spec(world))).node_name == f"{world.name}-a"
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 0)]


async def test_a_node_given_back_goes_to_the_one_who_waits(world: World) -> None:
    await _node(world.kube, f"{world.name}-0", team="ml")
    async with world.provisioner("byo", refusal_seconds=1):
        first, second = _demand(world, 1), _demand(world, 1)
        first = first.model_copy(update={"labels": {"team": "ml"}})
        second = second.model_copy(
            update={"labels": {"team": "ml"}, "name": f"{world.name}-b", "uid": uuid.uuid4().hex}
        )
        await world.bus.publish(first)
        await _until_report(world, ready)
        name, world.name = world.name, second.name
        await world.bus.publish(second)
        said = await _until_report(world, lambda r: r.failure)
        assert said.failure is not None
        assert f"is taken by default/{name}" in said.failure.message
        await world.bus.publish(first.model_copy(update={"nodes": 0, "plan_revision": 2}))
        await _until_report(world, ready)


async def test_a_node_that_is_taken_away_is_replaced_and_one_of_others_is_not_given_back(world: World) -> None:
    for i in range(2):
        await _node(world.kube, f"{world.name}-{i}", apps=world.name)
    async with _provider(world.kube) as provider:
        instance = await provider.create(_spec(world))
        await provider.delete(instance.model_copy(update={"owner": Owner(namespace="x", name="y", uid="z")}))
        assert dig_str(await world.kube.get(ObjectRef(NODES, instance.id)), "metadata", "annotations", RECORD)
        await world.kube.delete(ObjectRef(NODES, instance.id))
        assert (await provider.create(_spec(world))).node_name == f"{world.name}-1"
        await provider.delete(instance)


async def test_what_is_wrong_is_said_in_plain_words(world: World) -> None:
    await _node(world.kube, f"{world.name}-a", gfd=False, apps=world.name)
    async with _provider(world.kube) as provider:
        assert await provider.offers() == ()
        with pytest.raises(ProviderError, match="install NVIDIA's GPU Feature Discovery"):
            await provider.create(_spec(world))
        other = _spec(world).model_copy(update={"labels": {"apps": "nobody"}})
        with pytest.raises(ProviderError, match="no node carries the labels apps=nobody; looked at 1 node") as caught:
            await provider.create(other)
        assert caught.value.code is FailureCode.INVALID_REQUEST


async def test_two_workspaces_share_a_node_and_their_pods_run_beside_each_other(world: World) -> None:
    before = await _node(world.kube, f"{world.name}-0", apps=world.name)
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
    await _node(world.kube, f"{world.name}-0", apps=world.name)
    share = _spec(world).model_copy(update={"gpus": 1, "taints": ()})
    whole = _spec(world).model_copy(update={"owner": Owner(namespace="default", name="b", uid="b"), "name": "byo-b-0"})
    async with _provider(world.kube) as provider:
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
    return _demand(world, 1).model_copy(update={"name": name, "uid": uid, "gpus": 1, "labels": labels, "taints": ()})


async def _until_report_on(world: World, demand: Demand, wanted: Callable[[Report], object]) -> Report:
    """As `_until_report`, of another workspace than the world's own."""
    own, world.name = world.name, demand.name
    try:
        return await _until_report(world, wanted)
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


@asynccontextmanager
async def _provider(kube: KubeClient) -> AsyncIterator[ByoProvider]:
    nodes = Nodes(kube, "byo")
    watch = asyncio.create_task(nodes.run())
    try:
        yield ByoProvider(kube, nodes)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def _demand(world: World, nodes: int, revision: int = 1) -> Demand:
    return world.demand(nodes, revision, provider="byo", size=SIZE)


def _spec(world: World, index: int = 0) -> InstanceSpec:
    demand = _demand(world, 1)
    return InstanceSpec(
        name=instance_name("byo", world.uid, index), owner=Owner.of(demand), instance_type=SIZE,
        labels=demanded_labels(demand, simulated=False), taints=demand.taints,
    )  # fmt: skip


async def _node(kube: KubeClient, name: str, *, ready: bool = True, gfd: bool = True, **labels: str) -> JsonObject:
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


async def _as_it_was(kube: KubeClient, before: JsonObject) -> bool:
    """Labels, annotations, taints and the rest of the spec."""
    node = await kube.get(ObjectRef(NODES, dig_str(before, "metadata", "name")))
    paths = (("metadata", "labels"), ("metadata", "annotations"), ("spec",))
    return all(dig(node, *path) == dig(before, *path) for path in paths)


async def _until_report(world: World, wanted: Callable[[Report], object]) -> Report:
    return await world.until_report(wanted, provider="byo")
