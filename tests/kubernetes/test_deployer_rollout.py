"""A newer deployer starts servers anew one after the other, on a real API server; what a user changes does not wait."""

from __future__ import annotations

import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import PODS, KubeClient, NotFound, ObjectRef, dig_dicts, dig_int, dig_str
from services.contracts.conditions import Reason
from services.contracts.plan import PodResources
from services.deployer.app import wire
from services.deployer.report import WAITS
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, node, plan, planner, set_pod
from tests.kubernetes.service_fixtures import (
    Workspaces,
    always,
    bus,
    client,
    crd,
    eventually,
    namespace,
    nats_server,
    running,
)

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "node", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]

IMAGE = "KAITOBUS_INFERENCE_IMAGE"


@pytest_asyncio.fixture(loop_scope="session")
async def both(planner: Planner, client: KubeClient, bus: Bus, namespace: str) -> tuple[Planner, Planner]:
    """Two workspaces."""
    created = await Workspaces(client, namespace).create("v")
    return planner, Planner(client, bus, namespace, dig_str(created, "metadata", "uid"), "v")


async def image(one: Planner) -> str:
    (container,) = dig_dicts(await one.stateful_set(), "spec", "template", "spec", "containers")
    return dig_str(container, "image")


async def becomes_ready(one: Planner, wanted: str) -> None:
    """What a kubelet would do: the pod that is to go goes, and that of the image `wanted` serves."""

    async def is_there() -> bool:
        pod = await one.client.get(ref)
        if dig_str(pod, "metadata", "deletionTimestamp"):
            await gone(one, ref)
            return False
        return any(dig_str(c, "image") == wanted for c in dig_dicts(pod, "spec", "containers"))

    ref = ObjectRef(PODS, f"{one.name}-0", one.namespace)
    await eventually(is_there)
    ready = {"type": "Ready", "status": "True"}
    await set_pod(one, f"{one.name}-0", {"phase": "Running", "conditions": [ready], "containerStatuses": []})
    await eventually(lambda: serves(one))


async def gone(one: Planner, ref: ObjectRef) -> None:
    try:
        await one.client.delete(ref, grace_seconds=0)
    except NotFound:
        return


async def serves(one: Planner) -> bool:
    found = await one.stateful_set()
    seen = dig_int(found, "status", "observedGeneration") == dig_int(found, "metadata", "generation")
    return seen and dig_int(found, "status", "readyReplicas") == 1


async def waits(one: Planner) -> bool:
    report = await one.reported(Reason.INFERENCE_READY)
    return report is not None and WAITS in report.conditions[0].message


async def turned(both: tuple[Planner, Planner], wanted: str) -> list[Planner]:
    return [each for each in both if await image(each) == wanted]


async def test_a_newer_deployer_starts_one_server_anew_after_the_other_and_a_users_change_does_not_wait(
    both: tuple[Planner, Planner], nats_server: NatsServer, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMAGE, "one")
    async with running("deployer", wire, nats_server):
        for each in both:
            await each.publish(plan())
            await becomes_ready(each, "one")

    monkeypatch.setenv(IMAGE, "two")
    async with running("deployer", wire, nats_server, 2):
        (first,) = await eventually(lambda: turned(both, "two"))
        (second,) = (each for each in both if each is not first)
        await eventually(lambda: waits(second))

        async def only_the_first() -> bool:
            return await turned(both, "two") == [first]

        await always(only_the_first, 3)
    async with running("deployer", wire, nats_server):  # it remembers nothing, and knows whose turn it is
        await eventually(lambda: waits(second))
        await always(only_the_first, 3)
        await second.publish(plan(2, pod=PodResources(cpu="50m", memory_gib=0.1)))
        await eventually(lambda: is_of(second, "two"))
        assert not dig_int(await first.stateful_set(), "status", "updatedReplicas")  # it is still under way
        for each in both:
            await becomes_ready(each, "two")

    monkeypatch.setenv(IMAGE, "three")
    async with running("deployer", wire, nats_server):
        (first,) = await eventually(lambda: turned(both, "three"))
        (second,) = (each for each in both if each is not first)
        await becomes_ready(first, "three")
        await eventually(lambda: is_of(second, "three"))


async def is_of(one: Planner, wanted: str) -> bool:
    return await image(one) == wanted
