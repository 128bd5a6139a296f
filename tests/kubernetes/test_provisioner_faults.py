"""What befalls machines: lost, sick, late, made by two at once. On a real API server and a real nats-server."""

from __future__ import annotations

import pytest

from services.chassis.kube import CONFIGMAPS, NODES, JsonObject, ObjectRef, dig_str
from services.contracts.errors import FailureCode
from services.contracts.messages import Phase, Report
from services.provisioner.providers.fake.node import FAILS, VANISHES
from services.provisioner.registry import UnknownProvider
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.unit.provisioner_cloud import START

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


def replaced(said: Report) -> Phase | None:
    """The phase that tells of a replacement that is over."""
    return next((p for p in said.phases if p.name.endswith(" replaced") and p.finished_at), None)


async def uids(world: World) -> list[str]:
    return [dig_str(node, "metadata", "uid") for node in await world.nodes()]


async def none_left(world: World) -> bool:
    return not await world.nodes()


async def befall(world: World, fate: str) -> None:
    """Have what the demand's script has for its machines come now. By the clock it might come before they are ready."""
    annotations: JsonObject = {fate: START.isoformat()}
    for node in await world.nodes():
        await world.kube.merge_patch(ObjectRef.of(NODES, node), {"metadata": {"annotations": annotations}})


async def test_a_node_that_is_not_ready_for_too_long_is_replaced_and_the_report_says_so(world: World) -> None:
    async with world.provisioner(not_ready_seconds=2, retry_seconds=0.5):
        await world.bus.publish(world.demand(1, not_ready_after_seconds="600"))
        await world.until_report(ready)
        before = await uids(world)
        await befall(world, FAILS)
        said = await world.until_report(lambda r: r.next_step and "is replaced if its node is not ready" in r.next_step)
        (name,) = await world.node_names()
        assert f"{name} is not ready (the fake kubelet has stopped)" in said.conditions[1].message
        lost = await world.until_report(lambda r: "is not ready (the fake kubelet has stopped) since" in str(r.phases))
        assert f"node {name} is not ready" in lost.conditions[1].message
        said = await world.until_report(lambda r: ready(r) and replaced(r))
        phase = replaced(said)
        assert phase is not None
        assert phase.name == f"node {name} replaced"
        assert phase.detail.endswith(f"; {name} is in its place")
        assert await uids(world) != before


async def test_a_machine_that_is_reclaimed_is_replaced_and_the_report_says_so(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(2, vanish_after_seconds="600"))
        await world.until_report(ready)
        before = await uids(world)
        await befall(world, VANISHES)
        await world.until_report(lambda r: "is gone: its provider does not have it any more" in str(r.phases))
        said = await world.until_report(lambda r: ready(r) and replaced(r))
        phase = replaced(said)
        assert phase is not None
        assert "is gone: its provider does not have it any more (seen at" in phase.detail
        await world.until_report(lambda r: ready(r) and len([p for p in r.phases if p.name.endswith("replaced")]) == 2)
        assert not set(before) & set(await uids(world))


async def test_a_process_that_starts_anew_knows_what_was_lost(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
    await until(lambda: vanished(world))
    async with world.provisioner():
        assert replaced(await world.until_report(lambda r: ready(r) and replaced(r)))


async def vanished(world: World) -> bool:
    """Nobody runs who would take it away: the test does it, as the cloud's owner may."""
    for name in await world.node_names():
        await world.kube.delete(ObjectRef(NODES, name))
    return await none_left(world)


async def test_a_machine_that_comes_after_its_deadline_is_adopted(world: World) -> None:
    async with world.provisioner(retry_seconds=0.5):
        await world.bus.publish(world.demand(1, late_seconds="3"))
        said = await world.until_report(lambda r: r.failure)
        assert said.failure is not None
        assert said.failure.code is FailureCode.TIMEOUT
        await world.until_report(ready)
        assert len(await world.nodes()) == 1


async def test_a_machine_that_comes_after_it_was_let_go_is_taken_down(world: World) -> None:
    async with world.provisioner(retry_seconds=0.5):
        await world.bus.publish(world.demand(1, late_seconds="2"))
        await world.until_report(lambda r: r.failure)
        await world.bus.publish(world.demand(0, 2))
        await world.until_report(lambda r: r.released)
        await until(lambda: comes(world))
        await until(lambda: none_left(world))
        await world.until_report(lambda r: r.plan_revision == 2 and r.released)


async def comes(world: World) -> bool:
    """The promise is kept: nothing late is outstanding."""
    found = await world.kube.list(CONFIGMAPS, labels="fake.kaito.sh/ledger=late", namespace="kube-node-lease")
    return not found.items


async def test_how_often_a_fault_was_shown_outlives_the_process(world: World) -> None:
    wanted = world.demand(1, fail="Internal", fail_times="2")
    async with world.provisioner(retry_seconds=60):
        await world.bus.publish(wanted)
        await world.until_report(lambda r: r.failure)
    async with world.provisioner(retry_seconds=60) as service:
        await world.bus.publish(wanted.model_copy(update={"plan_revision": 2}))
        await world.until_report(lambda r: r.plan_revision == 2 and r.failure)
        registry = service.metrics.registry
        labels = {"verb": "create", "result": "Internal"}
        assert registry.get_sample_value("kaitobus_provider_calls_total", labels) == 1
    async with world.provisioner():
        await world.bus.publish(wanted.model_copy(update={"plan_revision": 3}))
        await world.until_report(ready)


async def test_an_older_demand_that_comes_late_changes_nothing(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1, 5))
        before = await world.until_report(ready)
        await world.bus.publish(world.demand(0, 4))
        await world.bus.publish(world.demand(1, 6))
        after = await world.until_report(lambda r: r.plan_revision == 6)
        assert after.phases == before.phases
        assert ready(after)


async def test_two_of_a_kind_serve_their_own_demands_side_by_side(world: World) -> None:
    async with world.provisioner(), world.provisioner(provider_name="other"):
        await world.bus.publish(world.demand(1))
        await world.bus.publish(world.demand(2, provider="other"))
        await world.until_report(lambda r: ready(r) and len(r.nodes) == 1)
        said = await world.until_report(lambda r: ready(r) and len(r.nodes) == 2, provider="other")
        assert all(node.name.startswith("other-") for node in said.nodes)
        assert {o.provider for o in await world.bus.offers()} == {"fake", "other"}
        await world.bus.publish(world.demand(0, 2, provider="other"))
        await world.until_report(lambda r: r.released, provider="other")
        assert ready(await world.until_report(lambda r: r.nodes))
        assert len(await world.nodes()) == 1


async def test_a_provider_that_goes_by_one_name_refuses_another(world: World) -> None:
    world.env.setenv("KAITOBUS_BYO_SELECTOR", "x=y")
    with pytest.raises(UnknownProvider, match="byo serves under that name alone: unset KAITOBUS_PROVIDER_NAME"):
        async with world.provisioner("byo", provider_name="other"):
            pass
