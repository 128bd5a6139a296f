"""The provider `karpenter` on a real API server, with a controller that plays Karpenter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from services.chassis.kube import (
    CRDS,
    KubeClient,
    ObjectRef,
    Resource,
    dig,
    dig_dict,
    dig_str,
)
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.node_facts import demanded_labels
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Owner, instance_name
from services.provisioner.providers.karpenter import KarpenterProvider
from services.provisioner.providers.karpenter.claim import NODECLAIMS
from services.provisioner.providers.karpenter.node_class import parse
from services.provisioner.providers.karpenter.settings import KarpenterSettings
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.karpenter_controller import (
    CLASS,
    FILE,
    NO_CAPACITY,
    TEST_CLASSES,
    Karpenter,
    install,
    make_class,
    new_node,
    node_name,
)
from tests.kubernetes.provisioner_fixtures import SIZE, World, ready, until, world
from tests.stack import AT_ONCE

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def karpenter(world: World, kubectl: Kubectl) -> AsyncIterator[Karpenter]:
    """The CRDs, a node class that is ready, settings that name it, and the controller."""
    for name, value in (await install(world.kube, kubectl)).items():
        world.env.setenv(name, value)
    async with Karpenter(world.kube).running() as controller:
        yield controller


async def test_a_demand_becomes_claims_and_nodes_and_zero_lets_go_of_them(world: World, karpenter: Karpenter) -> None:
    async with world.provisioner("karpenter"):
        await world.bus.publish(world.demand(2, provider="karpenter"))
        said = await world.until_report(ready, provider="karpenter")
        claims = await karpenter.claims()
        assert [n.name for n in said.nodes] == sorted(node_name(c) for c in claims)
        steps = [p.name.rpartition(" ")[2] for p in said.phases]
        assert steps == ["requested", "launched", "registered", "ready"] * 2
        labels = dig_dict(claims[0], "metadata", "labels")
        assert labels["karpenter.sh/nodepool"] == "kaito"
        assert labels["apps"] == labels["kaito.sh/workspace"] == world.name
        assert dig_str(claims[0], "metadata", "annotations", "karpenter.sh/do-not-disrupt") == "true"
        assert dig_str(claims[0], "spec", "expireAfter") == "Never"

        await world.bus.publish(world.demand(1, 2, provider="karpenter"))
        await world.until_report(lambda r: r.plan_revision == 2 and ready(r), provider="karpenter")
        await until(lambda: _number(karpenter, 1))
        await world.bus.publish(world.demand(0, 3, provider="karpenter"))
        await world.until_report(lambda r: r.released, provider="karpenter")
        assert await karpenter.claims() == []
        assert await world.nodes() == []


async def test_several_workspaces_do_not_see_each_other(world: World, karpenter: Karpenter) -> None:
    async with world.provisioner("karpenter"):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await world.until_report(ready, provider="karpenter")
        first, world.name, world.uid = world.name, f"{world.name}-b", f"{world.uid}-b"
        await world.bus.publish(world.demand(2, provider="karpenter"))
        await world.until_report(ready, provider="karpenter")
        await world.bus.publish(world.demand(0, 2, provider="karpenter"))
        await world.until_report(lambda r: r.released, provider="karpenter")
        left = await karpenter.claims()
        assert [dig_str(c, "metadata", "labels", "kaito.sh/workspace") for c in left] == [first]


async def test_what_the_controller_says_is_in_the_report_at_once(world: World, karpenter: Karpenter) -> None:
    text = "subscription level on-demand vCPU quota for Standard_NC48ads_A100_v4 has been reached"
    karpenter.refusal = ("SubscriptionQuotaReached", text)
    async with world.provisioner("karpenter", refusal_seconds=2):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await until(lambda: _launched(karpenter, 1))
        began = time.monotonic()
        said = await world.until_report(lambda r: r.failure, provider="karpenter")
        assert time.monotonic() - began < AT_ONCE
        assert said.failure is not None
        assert said.failure.code is FailureCode.QUOTA_EXCEEDED
        assert said.failure.terminal
        assert text in said.failure.message
        assert said.next_at is not None
        karpenter.refusal = None
        await world.until_report(ready, provider="karpenter")


async def test_a_launch_that_fails_late_is_in_the_report_within_five_seconds(
    world: World, karpenter: Karpenter
) -> None:
    karpenter.upto = "Nothing"
    async with world.provisioner("karpenter", refusal_seconds=60):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await world.until_report(lambda r: "is not launched yet" in str(r.conditions), provider="karpenter")
        (claim,) = await karpenter.claims()
        # Nothing else is due to be looked at for half a minute: what comes before that was told by the watch.
        text = "creating instance: the subnet has no free addresses"
        await karpenter.condition(claim, "Launched", "False", "LaunchFailed", text)
        said = await world.until_report(lambda r: r.failure, 5, provider="karpenter")
        assert said.failure is not None
        assert text in said.failure.message


async def test_a_claim_that_karpenter_deletes_for_want_of_capacity_is_a_failure_and_no_loop(
    world: World, karpenter: Karpenter
) -> None:
    karpenter.no_capacity = True
    async with world.provisioner("karpenter", refusal_seconds=4):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        said = await world.until_report(lambda r: r.failure, provider="karpenter")
        assert said.failure is not None
        assert said.failure.code is FailureCode.INSUFFICIENT_CAPACITY
        assert NO_CAPACITY in said.failure.message
        assert len(karpenter.launches) == 1
        karpenter.no_capacity = False
        await world.until_report(ready, provider="karpenter")
        assert len(karpenter.launches) == 2


async def test_a_claim_deleted_under_us_is_made_anew(world: World, karpenter: Karpenter) -> None:
    async with world.provisioner("karpenter"):
        karpenter.upto = "Launched"
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await until(lambda: _number(karpenter, 1))
        before = (await karpenter.claims())[0]
        await world.kube.delete(ObjectRef.of(NODECLAIMS, before))
        karpenter.upto = "Initialized"
        await world.until_report(ready, provider="karpenter")
        after = (await karpenter.claims())[0]
        assert dig_str(after, "metadata", "name") == dig_str(before, "metadata", "name")
        assert dig_str(after, "metadata", "uid") != dig_str(before, "metadata", "uid")


async def test_a_machine_that_comes_after_its_deadline_leaves_nothing_behind(
    world: World, karpenter: Karpenter
) -> None:
    karpenter.upto, karpenter.holds = "Nothing", True
    async with world.provisioner("karpenter", launch_seconds=1.5, retry_seconds=1):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        said = await world.until_report(lambda r: r.failure, provider="karpenter")
        assert said.failure is not None
        assert said.failure.code is FailureCode.TIMEOUT
        karpenter.upto, karpenter.holds = "Initialized", False
        await world.until_report(ready, provider="karpenter")
        assert await _number(karpenter, 1)
        assert len(await world.nodes()) == 1


async def test_another_size_is_another_claim_and_waits_for_the_old_one(world: World, karpenter: Karpenter) -> None:
    async with world.provisioner("karpenter"):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await world.until_report(ready, provider="karpenter")
        old = (await karpenter.claims())[0]
        karpenter.holds = True
        await world.bus.publish(world.demand(1, 2, provider="karpenter", size="Standard_NC24ads_A100_v4"))
        await until(lambda: _deleting(karpenter))
        said = await world.until_report(lambda r: r.plan_revision == 2 and r.conditions, provider="karpenter")
        assert "is being taken down first" in said.conditions[0].message
        assert await _number(karpenter, 1)
        karpenter.holds = False
        await world.until_report(lambda r: r.plan_revision == 2 and ready(r), provider="karpenter")
        new = (await karpenter.claims())[0]
        assert dig_str(new, "metadata", "uid") != dig_str(old, "metadata", "uid")


async def test_a_node_that_joins_before_its_claim_says_so_is_not_taken_for_a_stray(
    world: World, karpenter: Karpenter
) -> None:
    karpenter.upto = "Launched"
    async with world.provisioner("karpenter"):
        await world.bus.publish(world.demand(1, provider="karpenter"))
        await until(lambda: _launched(karpenter, 1))
        claim = (await karpenter.claims())[0]
        node = new_node(node_name(claim), dig_dict(claim, "metadata", "labels"), claim)
        await world.kube.create(Resource("", "v1", "nodes", "Node", namespaced=False), node)
        said = await world.until_report(ready, provider="karpenter")
        assert [n.name for n in said.nodes] == [node_name(claim)]
        assert len(await world.nodes()) == 1


async def test_to_create_twice_and_after_a_crash_is_to_adopt(world: World, karpenter: Karpenter) -> None:
    spec = _spec(world)
    async with _provider(world.kube) as provider:
        first, second = await asyncio.gather(provider.create(spec), provider.create(spec))
        assert first.id == second.id
    async with _provider(world.kube) as anew:
        assert (await anew.create(spec)).created_at == first.created_at
        assert await _number(karpenter, 1)
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
        await until(lambda: _number(karpenter, 0))
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
        await until(lambda: _number(karpenter, 0))


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


async def _number(karpenter: Karpenter, wanted: int) -> bool:
    return len(await karpenter.claims()) == wanted


async def _launched(karpenter: Karpenter, wanted: int) -> bool:
    return len(karpenter.launches) == wanted


async def _deleting(karpenter: Karpenter) -> bool:
    return any(dig_str(claim, "metadata", "deletionTimestamp") for claim in await karpenter.claims())


async def _state(provider: KarpenterProvider, state: InstanceState) -> Instance | None:
    return next((i for i in await provider.list() if i.state is state), None)


async def _crd_gone(kube: KubeClient) -> bool:
    return await kube.get(ObjectRef(CRDS, "nodeclaims.karpenter.sh")) is None
