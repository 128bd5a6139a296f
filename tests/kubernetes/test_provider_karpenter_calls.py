"""What each call of the provider `karpenter` does to claims, and what it says where it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.chassis.kube import CRDS, KubeClient, ObjectRef, dig, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.node_facts import demanded_labels
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Owner, instance_name
from services.provisioner.providers.karpenter import KarpenterProvider
from services.provisioner.providers.karpenter.node_class import parse
from services.provisioner.providers.karpenter.settings import KarpenterSettings
from tests.kubernetes.karpenter_controller import CLASS, FILE, TEST_CLASSES, Karpenter, make_class
from tests.kubernetes.karpenter_fixtures import karpenter, number
from tests.kubernetes.provisioner_fixtures import SIZE, World, until, world
from tests.plane import Kubectl
from tests.stack import AT_ONCE

__all__ = ["karpenter", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_to_create_twice_and_after_a_crash_is_to_adopt(world: World, karpenter: Karpenter) -> None:
    spec = _spec(world)
    async with _provider(world.kube) as provider:
        first, second = await asyncio.gather(provider.create(spec), provider.create(spec))
        assert first.id == second.id
    async with _provider(world.kube) as anew:
        assert (await anew.create(spec)).created_at == first.created_at
        assert await number(karpenter, 1)
        assert [i.name for i in await anew.list(spec.owner.key)] == [spec.name]
        assert await anew.list(("default", "another")) == ()


async def test_a_claim_of_that_name_that_is_not_ours_is_left_alone(world: World, karpenter: Karpenter) -> None:
    karpenter.upto = "Nothing"
    async with _provider(world.kube) as provider:
        mine = await provider.create(_spec(world))
        other = _spec(world).model_copy(update={"owner": Owner(namespace="default", name="x", uid="other")})
        with pytest.raises(ProviderError, match="is not"):
            await provider.create(other)
        await provider.delete(mine.model_copy(update={"owner": other.owner}))
        assert [i.state for i in await provider.list()] == [InstanceState.CREATING]


async def test_a_spec_that_changes_does_not_change_the_claim(world: World, karpenter: Karpenter) -> None:
    async with _provider(world.kube) as provider:
        await provider.create(_spec(world))
        again = await provider.create(_spec(world).model_copy(update={"instance_type": "Standard_Other"}))
        assert again.instance_type == SIZE
        assert [dig(claim, "metadata", "generation") for claim in await karpenter.claims()] == [1]


async def test_a_machine_is_listed_until_its_finalizer_is_gone(world: World, karpenter: Karpenter) -> None:
    karpenter.holds = True
    async with _provider(world.kube) as provider:
        instance = await provider.create(_spec(world))
        await until(lambda: _state(provider, InstanceState.RUNNING))
        await provider.delete(instance)
        await provider.delete(instance)
        assert [i.state for i in await provider.list()] == [InstanceState.DELETING]
        karpenter.holds = False
        await until(lambda: number(karpenter, 0))
        assert await provider.list() == ()
        await provider.delete(instance)


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("LaunchFailed", "creating instance, RequestLimitExceeded: Request limit exceeded", FailureCode.THROTTLED),
        ("Unauthorized", "User is not authorized to perform this operation", FailureCode.UNAUTHORIZED),
        ("ZonalAllocationFailure", "unable to allocate in zone 1", FailureCode.INSUFFICIENT_CAPACITY),
        ("CreateInstanceFailed", "something nobody has heard of", FailureCode.INTERNAL),
    ],
)
async def test_conditions_are_lifted_at_once(
    world: World, karpenter: Karpenter, reason: str, message: str, code: FailureCode
) -> None:
    karpenter.refusal = (reason, message)
    async with _provider(world.kube) as provider:
        await provider.create(_spec(world))
        found = await until(lambda: _state(provider, InstanceState.FAILED), AT_ONCE)
        assert found.failure is not None
        assert (found.failure.code, found.failure.message) == (code, f"{reason}: {message}")


async def test_a_claim_of_gpu_provisioner_has_the_name_of_an_agent_pool_and_a_disk(
    world: World, karpenter: Karpenter
) -> None:
    async with _provider(world.kube, "KaitoNodeClass") as provider:
        spec = _spec(world)
        instance = await provider.create(spec)
        claim = (await karpenter.claims())[0]
        assert (instance.name, instance.id) == (spec.name, dig_str(claim, "metadata", "name"))
        assert instance.id.isalnum()
        assert len(instance.id) <= 12
        assert dig(claim, "spec", "resources", "requests", "storage") == "200Gi"
        await until(lambda: _state(provider, InstanceState.RUNNING))
        await provider.delete(instance)
        await until(lambda: number(karpenter, 0))


async def test_nothing_is_offered_while_the_node_class_is_missing_or_not_ready(
    world: World, karpenter: Karpenter
) -> None:
    async with _provider(world.kube) as provider:
        assert SIZE in {offer.instance_type for offer in await provider.offers()}
        await make_class(world.kube, TEST_CLASSES, ready="False", message="subnets do not resolve")
        assert await provider.offers() == ()
        with pytest.raises(ProviderError, match=r"is not ready: .*subnets do not resolve"):
            await provider.create(_spec(world))
        await world.kube.delete(ObjectRef(TEST_CLASSES, "default"))
        assert await provider.offers() == ()
        with pytest.raises(ProviderError, match="there is no TestNodeClass 'default': create it") as caught:
            await provider.create(_spec(world))
        assert caught.value.code is FailureCode.NOT_FOUND
        assert await karpenter.claims() == []
    async with _provider(world.kube, "EC2NodeClass") as other:
        assert await other.offers() == ()
        with pytest.raises(ProviderError, match="install Karpenter for AWS"):
            await other.create(_spec(world))


async def test_a_bad_parameter_and_a_bad_zone_are_told(world: World, karpenter: Karpenter) -> None:
    async with _provider(world.kube) as provider:
        for parameters, words in (({"capacity-type": "sopt"}, "'sopt' is none of"), ({"zone": "a b/c"}, "values")):
            with pytest.raises(ProviderError, match=words) as caught:
                await provider.create(_spec(world).model_copy(update={"parameters": parameters}))
            assert caught.value.code is FailureCode.INVALID_REQUEST


async def test_without_the_crd_it_says_what_to_install(world: World, kubectl: Kubectl) -> None:
    await kubectl("delete", "-f", str(FILE), "--ignore-not-found", "--wait=true")
    await until(lambda: _crd_gone(world.kube))
    world.env.setenv("KAITOBUS_KARPENTER_NODE_CLASS", "KaitoNodeClass")
    async with _provider(world.kube, "KaitoNodeClass") as provider:
        assert await provider.offers() == ()
        with pytest.raises(
            ProviderError, match=r"no NodeClaim \(karpenter.sh/v1\): install the chart of Azure"
        ) as caught:
            await provider.list()
        assert caught.value.code is FailureCode.NOT_FOUND
        with pytest.raises(ProviderError, match="install the chart"):
            await provider.create(_spec(world))
    async with world.provisioner("karpenter"):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        said = await world.until_report(lambda r: r.failure, provider="karpenter")
        assert said.failure is not None
        assert "install the chart of Azure's gpu-provisioner" in said.failure.message


@asynccontextmanager
async def _provider(kube: KubeClient, node_class: str = CLASS) -> AsyncIterator[KarpenterProvider]:
    nodes = Nodes(kube, "karpenter")
    watch = asyncio.create_task(nodes.run())
    skus = "azure" if parse(node_class).skus is None else None
    try:
        yield KarpenterProvider(kube, nodes, KarpenterSettings(node_class=node_class, skus=skus).chosen())
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def _spec(world: World) -> InstanceSpec:
    demand = world.demand(1, provider="karpenter")
    return InstanceSpec(
        name=instance_name("karpenter", world.uid, 0), owner=Owner.of(demand), instance_type=SIZE, disk_gib=200,
        labels=demanded_labels(demand, simulated=False), taints=("sku=gpu:NoSchedule",),
    )  # fmt: skip


async def _state(provider: KarpenterProvider, state: InstanceState) -> Instance | None:
    return next((i for i in await provider.list() if i.state is state), None)


async def _crd_gone(kube: KubeClient) -> bool:
    return await kube.get(ObjectRef(CRDS, "nodeclaims.karpenter.sh")) is None
