"""The provider `karpenter` on a real API server, with a controller that plays Karpenter."""

from __future__ import annotations

import time

import pytest

from services.chassis.kube import ObjectRef, Resource, dig_dict, dig_str
from services.contracts.errors import FailureCode
from services.provisioner.providers.karpenter.claim import NODECLAIMS
from tests.kubernetes.karpenter_controller import NO_CAPACITY, Karpenter, new_node, node_name
from tests.kubernetes.karpenter_fixtures import karpenter, number
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.stack import AT_ONCE

__all__ = ["karpenter", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
        await until(lambda: number(karpenter, 1))
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
        await until(lambda: number(karpenter, 1))
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
        assert await number(karpenter, 1)
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
        assert await number(karpenter, 1)
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


async def _launched(karpenter: Karpenter, wanted: int) -> bool:
    return len(karpenter.launches) == wanted


async def _deleting(karpenter: Karpenter) -> bool:
    return any(dig_str(claim, "metadata", "deletionTimestamp") for claim in await karpenter.claims())
