"""The provider `byo` on a real API server: nodes that are there already are claimed and given back."""

from __future__ import annotations

import asyncio
import functools
import uuid

import pytest

from services.chassis.kube import NODES, JsonObject, KubeClient, ObjectRef, dig, dig_dicts, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import Owner
from services.provisioner.providers.byo.claims import RECORD
from tests.kubernetes.byo_fixtures import SIZE, byo_demand, byo_provider, byo_report, byo_spec, gpu_node
from tests.kubernetes.provisioner_fixtures import World, ready, until, world

__all__ = ["world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_demand_takes_nodes_that_are_there_and_zero_leaves_them_as_they_were(world: World) -> None:
    before = [await gpu_node(world.kube, f"{world.name}-{i}", apps=world.name) for i in range(3)]
    async with world.provisioner("byo"):
        await world.bus.publish(byo_demand(world, 2))
        said = await byo_report(world, ready)
        assert [n.name for n in said.nodes] == [f"{world.name}-0", f"{world.name}-1"]
        for node in await world.nodes():
            assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in dig_dicts(node, "spec", "taints")
        await world.bus.publish(byo_demand(world, 1, 2))
        await byo_report(world, lambda r: r.plan_revision == 2 and ready(r))
        await until(functools.partial(_as_it_was, world.kube, before[1]))
        await world.bus.publish(byo_demand(world, 0, 3))
        await byo_report(world, lambda r: r.released)
        for node in before:
            assert await _as_it_was(world.kube, node)


async def test_what_the_loop_has_put_on_a_node_goes_too(world: World) -> None:
    before = await gpu_node(world.kube, f"{world.name}-0", apps=world.name)
    async with world.provisioner("byo"):
        await world.bus.publish(byo_demand(world, 1))
        await byo_report(world, ready)
        more = byo_demand(world, 1, 2).model_copy(update={"labels": {"apps": world.name, "later": "yes"}})
        await world.bus.publish(more)
        await byo_report(world, lambda r: r.plan_revision == 2 and ready(r))
        assert dig_str((await world.nodes())[0], "metadata", "labels", "later") == "yes"
        await world.bus.publish(byo_demand(world, 0, 3))
        await byo_report(world, lambda r: r.released)
        assert await _as_it_was(world.kube, before)


async def test_two_claims_never_take_the_same_node(world: World) -> None:
    for i in range(6):
        await gpu_node(world.kube, f"{world.name}-{i}", apps=world.name)
    specs = [byo_spec(world, index) for index in range(6)]
    async with byo_provider(world.kube) as one, byo_provider(world.kube) as two:
        made = await asyncio.gather(*((one, two)[i % 2].create(spec) for i, spec in enumerate(specs)))
        assert len({instance.node_name for instance in made}) == 6
        with pytest.raises(ProviderError, match="is taken by default/") as caught:
            await one.create(byo_spec(world, 6))
        assert caught.value.code is FailureCode.INSUFFICIENT_CAPACITY


async def test_two_processes_that_claim_for_the_same_machine_take_one_node(world: World) -> None:
    for i in range(3):
        await gpu_node(world.kube, f"{world.name}-{i}", apps=world.name)
    spec = byo_spec(world)
    async with byo_provider(world.kube) as one, byo_provider(world.kube) as two:
        made = await asyncio.gather(*(provider.create(spec) for provider in (one, two, one, two)))
        assert len({instance.id for instance in made}) == 1
        assert len(await world.nodes()) == 1
    async with byo_provider(world.kube) as anew:
        assert (await anew.create(spec)).id == made[0].id


async def test_preferred_nodes_come_first_and_get_the_labels_while_they_are_claimed(world: World) -> None:
    await gpu_node(world.kube, f"{world.name}-a", apps=world.name)
    before = await gpu_node(world.kube, f"{world.name}-b")
    spec = byo_spec(world).model_copy(update={"preferred_nodes": ("gone", f"{world.name}-b")})
    async with byo_provider(world.kube) as provider:
        instance = await provider.create(spec)
        assert instance.node_name == f"{world.name}-b"
        assert dig_str((await world.nodes())[0], "metadata", "labels", "apps") == world.name
        await provider.delete(instance)
        assert await _as_it_was(world.kube, before)
        assert await provider.list() == ()


async def test_cordoned_and_unready_nodes_are_not_free(world: World) -> None:
    await gpu_node(world.kube, f"{world.name}-a", apps=world.name)
    await gpu_node(world.kube, f"{world.name}-b", ready=False, apps=world.name)
    await world.kube.merge_patch(ObjectRef(NODES, f"{world.name}-a"), {"spec": {"unschedulable": True}})
    async with byo_provider(world.kube) as provider:
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 0)]
        with pytest.raises(ProviderError) as caught:
            await provider.create(byo_spec(world))
        assert f"{world.name}-a is cordoned, {world.name}-b is not ready" in caught.value.message
        await world.kube.merge_patch(ObjectRef(NODES, f"{world.name}-a"), {"spec": {"unschedulable": None}})
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 1)]
        assert (await provider.create(byo_spec(world))).node_name == f"{world.name}-a"
        assert [(o.instance_type, o.available) for o in await provider.offers()] == [(SIZE, 0)]


async def test_a_node_given_back_goes_to_the_one_who_waits(world: World) -> None:
    await gpu_node(world.kube, f"{world.name}-0", team="ml")
    async with world.provisioner("byo", refusal_seconds=1):
        first, second = byo_demand(world, 1), byo_demand(world, 1)
        first = first.model_copy(update={"labels": {"team": "ml"}})
        second = second.model_copy(
            update={"labels": {"team": "ml"}, "name": f"{world.name}-b", "uid": uuid.uuid4().hex}
        )
        await world.bus.publish(first)
        await byo_report(world, ready)
        name, world.name = world.name, second.name
        await world.bus.publish(second)
        said = await byo_report(world, lambda r: r.failure)
        assert said.failure is not None
        assert f"is taken by default/{name}" in said.failure.message
        await world.bus.publish(first.model_copy(update={"nodes": 0, "plan_revision": 2}))
        await byo_report(world, ready)


async def test_a_node_that_is_taken_away_is_replaced_and_one_of_others_is_not_given_back(world: World) -> None:
    for i in range(2):
        await gpu_node(world.kube, f"{world.name}-{i}", apps=world.name)
    async with byo_provider(world.kube) as provider:
        instance = await provider.create(byo_spec(world))
        await provider.delete(instance.model_copy(update={"owner": Owner(namespace="x", name="y", uid="z")}))
        assert dig_str(await world.kube.get(ObjectRef(NODES, instance.id)), "metadata", "annotations", RECORD)
        await world.kube.delete(ObjectRef(NODES, instance.id))
        assert (await provider.create(byo_spec(world))).node_name == f"{world.name}-1"
        await provider.delete(instance)


async def test_what_is_wrong_is_said_in_plain_words(world: World) -> None:
    await gpu_node(world.kube, f"{world.name}-a", gfd=False, apps=world.name)
    async with byo_provider(world.kube) as provider:
        assert await provider.offers() == ()
        with pytest.raises(ProviderError, match="install NVIDIA's GPU Feature Discovery"):
            await provider.create(byo_spec(world))
        other = byo_spec(world).model_copy(update={"labels": {"apps": "nobody"}})
        with pytest.raises(ProviderError, match="no node carries the labels apps=nobody; looked at 1 node") as caught:
            await provider.create(other)
        assert caught.value.code is FailureCode.INVALID_REQUEST


async def _as_it_was(kube: KubeClient, before: JsonObject) -> bool:
    """Labels, annotations, taints and the rest of the spec."""
    node = await kube.get(ObjectRef(NODES, dig_str(before, "metadata", "name")))
    paths = (("metadata", "labels"), ("metadata", "annotations"), ("spec",))
    return all(dig(node, *path) == dig(before, *path) for path in paths)
