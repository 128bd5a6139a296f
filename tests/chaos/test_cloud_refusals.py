"""A cloud that refuses, seen from the Workspace: its words stand in the status within seconds.

The services run as processes; the provisioners' SDKs speak to a small Azure and to moto's AWS on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from services.chassis.kube import PODS, ObjectRef, dig_str
from services.contracts.conditions import ConditionType
from services.contracts.errors import FailureCode
from tests.chaos.cast import Cast, Moment, manifest
from tests.clouds.cloud import Cloud
from tests.clouds.refusals import REFUSALS
from tests.clouds.told import Told, on, on_both_clouds, refused, told
from tests.integration.aws_front import Moto, moto
from tests.stack import Stack, until

__all__ = ["moto"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

Note = Callable[[str, object], None]

MALFORMED = {
    "azure": ({"zones": "east"}, "azure.kaito.sh/zones: 'east' is no list of zones"),
    "aws": ({"capacity_type": "sopt"}, "aws.kaito.sh/capacity-type: 'sopt'"),
}
"""Annotations that ask for what there is not, and what is said of them."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clouds(
    whole: Stack, moto: Moto, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Cloud, ...]]:
    async with on_both_clouds(whole, moto, tmp_path_factory.mktemp("clouds")) as found:
        yield found


@pytest.mark.parametrize("what", REFUSALS)
async def test_a_refusal_stands_in_the_status_in_the_clouds_words(
    clouds: tuple[Cloud, ...], cast: Cast, what: str, record_property: Note
) -> None:
    """Both clouds refuse at the same time. What is deleted meanwhile leaves nothing either."""
    for cloud in clouds:
        cloud.fail(what)
    try:
        found = await asyncio.gather(*(refused(cast.stack, cast.namespace, cloud, what) for cloud in clouds))
        for cloud, said in zip(clouds, found, strict=True):
            says_all(cloud, what, said)
            record_property(f"{cloud.name}, seconds", round(said.seconds, 2))
        await cast.delete_all()
    finally:
        assert [cloud.machines() for cloud in clouds] == [[], []]
        for cloud in clouds:
            cloud.heal()


async def test_a_neighbour_on_another_cloud_does_not_notice_that_two_are_silent(
    clouds: tuple[Cloud, ...], cast: Cast
) -> None:
    for cloud in clouds:
        cloud.fail("silence")
    try:
        await cast.create(*(on(cloud) for cloud in clouds), manifest("neighbour"))
        await cast.reach(Moment.READY, "neighbour")
    finally:
        for cloud in clouds:
            cloud.heal()


def says_all(cloud: Cloud, what: str, said: Told) -> None:
    """The code, the cloud's words, whether somebody must do something, and what comes next, and when."""
    code, words = REFUSALS[what].told_by(cloud.name)
    failure = said.status.failure
    assert failure is not None, cloud.name
    assert (failure.code, failure.terminal) == (code, what != "silence")
    assert words in failure.message
    assert failure.retry_at is not None
    assert "the cloud is asked again at" in str(said.status.next_step)


async def test_a_demand_that_asks_for_what_there_is_not(clouds: tuple[Cloud, ...], cast: Cast) -> None:
    await cast.create(*(on(cloud, **MALFORMED[cloud.name][0]) for cloud in clouds))
    for cloud in clouds:
        status = await told(cast.stack, cast.namespace, cloud, MALFORMED[cloud.name][1])
        assert status.failure is not None
        assert status.failure.code is FailureCode.INVALID_REQUEST
        assert status.failure.terminal
        assert status.next_step
        assert cloud.machines() == []


async def test_a_size_that_the_region_does_not_sell_is_told_with_what_to_change(
    clouds: tuple[Cloud, ...], cast: Cast
) -> None:
    azure = clouds[0]
    await cast.create(on(azure, "Standard_ND96isr_H200_v5"))
    words = "azure is running, but does not offer Standard_ND96isr_H200_v5"
    status = await told(cast.stack, cast.namespace, azure, words, ConditionType.PLAN_READY)
    assert "Name another instanceType" in str(status.next_step)
    assert azure.machines() == []


async def test_a_second_provisioner_started_by_mistake_tells_and_makes_nothing_twice(
    clouds: tuple[Cloud, ...], cast: Cast, stack: Stack
) -> None:
    """Refused first, by the one that was asked; then each machine is made once, and let go of."""
    azure = clouds[0]
    second = stack.add_provisioner(azure.name, azure.env, number=2)
    await stack.start(second)
    try:
        azure.fail("quota")
        says_all(azure, "quota", await refused(stack, cast.namespace, azure, "quota"))
        azure.heal()
        uid = await cast.uid(azure.name)
        await until(lambda: made(azure, uid), what="the machine")
        await azure.join(stack.kube, uid, 0)
        await until(lambda: has_nodes(cast, azure.name), what="the node in the status")
        assert azure.machines() == [azure.machine(uid, 0)]
        await cast.delete_all()
        await until(lambda: is_ended(cast, azure.name), what="the end of the workspace")
        assert azure.machines() == []
    finally:
        azure.heal()
        await stack.end(second)


async def made(cloud: Cloud, uid: str) -> bool:
    return cloud.machine(uid, 0) in cloud.machines()


async def is_ended(cast: Cast, name: str) -> bool:
    """Whether the workspace is gone. No kubelet runs on its node: what is to end there ends at once."""
    pods = (await cast.stack.kube.list(PODS, namespace=cast.namespace)).items
    for pod in (pod for pod in pods if dig_str(pod, "metadata", "deletionTimestamp")):
        await cast.stack.kube.delete(ObjectRef.of(PODS, pod), grace_seconds=0)
    return await cast.is_gone(name)


async def has_nodes(cast: Cast, name: str) -> bool:
    return (await cast.status(name)).is_true(ConditionType.RESOURCE_READY)
