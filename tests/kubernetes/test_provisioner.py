"""The provisioner with the provider `fake`, on a real bus and a real cluster."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from services.chassis.kube import JOBS, NODES, PODS, JsonObject, ObjectRef, dig, dig_dict, dig_dicts, dig_str
from services.contracts.errors import FailureCode
from services.contracts.messages import Demand
from services.contracts.subjects import Stream
from services.provisioner.provider import instance_name
from tests.kubernetes.provisioner_fixtures import SIZE, World, none, ready, until, world

__all__ = ["world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_demand_becomes_ready_nodes_and_a_demand_of_zero_lets_go_of_them(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(2))
        said = await world.until_report(ready)
        assert [n.name for n in said.nodes] == await world.node_names()
        assert all(c.message.startswith("Simulated: ") for c in said.conditions)
        for node in await world.nodes():
            assert dig(node, "status", "allocatable", "nvidia.com/gpu") == "2"
            labels = dig_dict(node, "metadata", "labels")
            assert labels["apps"] == labels["kaito.sh/workspace"] == world.name
            assert labels["kaito.sh/simulated"] == "true"
            assert labels["node.kubernetes.io/instance-type"] == SIZE
            assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in dig_dicts(node, "spec", "taints")

        await world.bus.publish(world.demand(1, 2))
        await world.until_report(lambda r: r.plan_revision == 2 and ready(r))
        assert await world.node_names() == [instance_name("fake", world.uid, 0)]

        await world.bus.publish(world.demand(0, 3))
        await world.until_report(lambda r: r.released)
        assert await world.node_names() == []


async def test_what_happens_on_the_way_is_reported_within_one_pass(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1, boot_seconds="2"))
        said = await world.until_report(lambda r: r.conditions)
        name = instance_name("fake", world.uid, 0)
        assert f"0 of 1 node ready; {name} is booting since" in said.conditions[1].message
        said = await world.until_report(ready)
        steps = ["requested", "launched", "registered", "ready"]
        assert [p.name for p in said.phases] == [f"node {name} {step}" for step in steps]
        assert all(p.finished_at for p in said.phases)


async def test_two_provisioners_of_one_provider_make_each_node_once(world: World) -> None:
    async with world.provisioner(), world.provisioner():
        for revision in range(1, 6):
            await world.bus.publish(world.demand(2, revision))
        await world.until_report(lambda r: r.plan_revision == 5 and ready(r))
        assert len(await world.nodes()) == 2
        await world.bus.publish(world.demand(0, 6))
        await world.until_report(lambda r: r.released)
        assert await world.nodes() == []


async def test_killed_between_the_call_and_the_report_it_adopts_what_it_made(world: World) -> None:
    async with world.provisioner() as service:
        stuck = asyncio.Event()

        async def never(*_: object, **__: object) -> int:
            stuck.set()
            await asyncio.Event().wait()
            return 0

        world.env.setattr(service.bus, "publish", never)
        await world.bus.publish(world.demand(1))
        await asyncio.wait_for(stuck.wait(), 60)
    assert await world.report() is None
    made = [dig_str(node, "metadata", "uid") for node in await world.nodes()]
    assert len(made) == 1
    async with world.provisioner():
        await world.until_report(ready)  # the bus gives the message out again after ACK_WAIT
        assert [dig_str(node, "metadata", "uid") for node in await world.nodes()] == made


async def test_a_workspace_made_anew_under_its_name_does_not_inherit_nodes(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        old, world.uid = world.uid, "made-anew"
        await world.bus.publish(world.demand(1))
        await world.until_report(lambda r: r.uid == "made-anew" and ready(r))
        await until(lambda: none(world.nodes(old)))
        assert len(await world.nodes()) == 1


async def test_a_refusal_is_told_in_the_clouds_words_and_tried_again_when_it_is_over(world: World) -> None:
    async with world.provisioner(refusal_seconds=3):
        await world.bus.publish(world.demand(1, fail="QuotaExceeded", fail_times="1", fail_message="Limit 8, asked 48"))
        said = await world.until_report(lambda r: r.failure)
        assert said.failure is not None
        assert (said.failure.code, said.failure.message) == (FailureCode.QUOTA_EXCEEDED, "Limit 8, asked 48")
        assert (said.next_at, said.failure.terminal) == (said.failure.retry_at, True)
        assert said.conditions[0].reason == "QuotaExceeded"
        assert "Limit 8, asked 48" in said.conditions[0].message
        assert await world.nodes() == []
        await world.until_report(ready)


async def test_a_refusal_is_not_hammered_and_touches_no_neighbour(world: World) -> None:
    async with world.provisioner() as service:
        await world.bus.publish(world.demand(1, fail="QuotaExceeded"))
        await world.until_report(lambda r: r.failure)
        first, world.name, world.uid = world.name, f"{world.name}-b", "neighbour"
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        registry = service.metrics.registry
        refused = registry.get_sample_value(
            "kaitobus_provider_calls_total", {"verb": "create", "result": "QuotaExceeded"}
        )
        assert (first != world.name, refused) == (True, 1)


async def test_an_unknown_size_and_a_bad_script_are_told(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1, size="Standard_Nonsense"))
        said = await world.until_report(lambda r: r.failure)
        assert said.failure is not None
        assert said.failure.code is FailureCode.INVALID_REQUEST
        await world.bus.publish(world.demand(1, 2, boot_seconds="soon"))
        await world.until_report(lambda r: r.failure and "'soon' is no number" in r.failure.message)


async def test_a_message_that_cannot_be_read_is_put_aside_and_others_are_served(world: World) -> None:
    async with world.provisioner() as service:
        await until(lambda: _true(service.connected.is_set()))
        await world.bus.js.publish("kaito.demand.fake.default.bad", b'{"nodes": -1}')
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        assert (await world.bus.js.stream_info(Stream.DLQ)).state.messages == 1


async def test_a_demand_for_another_provider_is_not_touched(world: World) -> None:
    theirs = world.demand(2, provider="somebody")
    await world.bus.publish(theirs)
    async with world.provisioner():
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        await world.bus.publish(world.demand(0, 2))
        await world.until_report(lambda r: r.released)
        assert await world.nodes() == []
        assert await world.bus.newest(Demand, theirs.subject) == theirs
        assert await world.report("somebody") is None


async def test_a_node_that_disappears_is_brought_back(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        (lost,) = await world.nodes()
        await world.kube.delete(ObjectRef.of(NODES, lost))
        (found,) = await until(world.nodes)
        assert dig_str(found, "metadata", "uid") != dig_str(lost, "metadata", "uid")
        await world.until_report(ready)


async def test_pods_on_a_fake_machine_go_through_their_life(world: World) -> None:
    async with world.provisioner():
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        await world.kube.create(PODS, _pod(world, "server"))
        await world.kube.create(JOBS, _job(world))
        pod = await until(lambda: _ready_pod(world, "server"))
        assert dig_str(pod, "status", "phase") == "Running"
        assert dig(pod, "status", "podIP") is None
        await until(lambda: _job_done(world))
        await world.kube.delete(ObjectRef(PODS, "server", "default"))
        await until(lambda: _gone(world, "server"))
        await world.kube.delete(ObjectRef(JOBS, "job", "default"))


async def test_readiness_says_what_is_wrong(world: World) -> None:
    async with world.provisioner() as service:
        await until(lambda: none(service.health.problems()))
        await world.nats.kill()
        assert "bus" in await service.health.problems()
        await world.nats.start()
        await until(lambda: none(service.health.problems()))


async def test_the_process_itself_survives_kill_9(world: World) -> None:
    environment = {
        **os.environ, "KAITOBUS_PROVIDER": "fake", "KAITOBUS_NATS_URL": world.nats.url, "KAITOBUS_HTTP_PORT": "0",
    }  # fmt: skip

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.provisioner", env=environment, stderr=asyncio.subprocess.DEVNULL
        )

    process = await start()
    try:
        await world.bus.publish(world.demand(3, boot_seconds="2"))
        await until(world.nodes)
        process.kill()
        await process.wait()
        process = await start()
        await world.until_report(ready)
        assert len(await world.nodes()) == 3
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


def _spec(world: World, restart: str) -> JsonObject:
    return {
        "nodeSelector": {"apps": world.name},
        "tolerations": [{"key": "sku", "operator": "Exists"}],
        "restartPolicy": restart,
        "containers": [{"name": "c", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
    }


def _pod(world: World, name: str) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": _spec(world, "Always")}


def _job(world: World) -> JsonObject:
    template = {"spec": _spec(world, "Never")}
    return {"metadata": {"name": "job", "namespace": "default"}, "spec": {"template": template}}


async def _ready_pod(world: World, name: str) -> JsonObject | None:
    pod = await world.pod(name)
    conditions = dig_dicts(pod, "status", "conditions")
    return pod if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions) else None


async def _job_done(world: World) -> bool:
    return dig(await world.kube.get(ObjectRef(JOBS, "job", "default")), "status", "succeeded") == 1


async def _gone(world: World, name: str) -> bool:
    return await world.pod(name) is None


async def _true(value: bool) -> bool:
    return value
