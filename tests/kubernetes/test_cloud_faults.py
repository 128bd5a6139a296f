"""What clouds do to the loop for longer than a call: two processes at them, silence past every deadline, their clocks.

Each is put to `azure` and to `aws`, whose SDKs speak over HTTP; bus and API server are real. What clouds refuse is
followed up to the Workspace's status in tests/chaos/test_cloud_refusals.py.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.contracts.errors import FailureCode
from services.provisioner.provider import instance_name
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from tests.clouds.cloud import Cloud, on_aws, on_azure
from tests.integration.aws_front import Moto, aws, moto
from tests.kubernetes.kubelet import join
from tests.kubernetes.provisioner_fixtures import World, ready, until, world

__all__ = ["moto", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session", params=["azure", "aws"])
async def cloud(
    request: pytest.FixtureRequest, world: World, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cloud]:
    async with on_azure(tmp_path, monkeypatch) if request.param == "azure" else on_aws(moto, monkeypatch) as found:
        yield found


async def let_go(world: World, cloud: Cloud) -> None:
    """Nothing is left behind, neither there nor here."""
    await world.bus.publish(world.demand(0, 9, provider=cloud.name, size=cloud.size))
    await world.until_report(lambda r: not cloud.machines() and r.released, provider=cloud.name)
    assert cloud.machines() == []


async def test_a_process_that_is_started_with_wrong_credentials_says_why(world: World, cloud: Cloud) -> None:
    if cloud.name == "azure":
        world.env.setenv("AZURE_CLIENT_SECRET", "wrong")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            world.env.delenv(name)
    words = {"azure": "AADSTS7000215", "aws": "the AWS SDK has no usable credentials"}[cloud.name]
    async with world.provisioner(cloud.name) as service:
        await world.bus.publish(world.demand(1, provider=cloud.name, size=cloud.size))
        said = await world.until_report(lambda r: r.failure, provider=cloud.name)
        assert said.failure is not None
        assert (said.failure.code, said.failure.terminal) == (FailureCode.UNAUTHORIZED, True)
        assert words in said.failure.message
        if cloud.name == "azure":
            assert words in str(await service.health.problems())
    assert cloud.machines() == []


async def test_two_provisioners_that_are_started_by_mistake_make_each_machine_once(world: World, cloud: Cloud) -> None:
    async with world.provisioner(cloud.name), world.provisioner(cloud.name):
        await world.bus.publish(world.demand(2, provider=cloud.name, size=cloud.size))
        await world.until_report(lambda r: len(r.nodes) == 2, provider=cloud.name)
        assert len(cloud.machines()) == 2
        for index in range(2):
            await cloud.join(world.kube, world.uid, index)
        await world.until_report(ready, provider=cloud.name)
        await let_go(world, cloud)


async def test_a_cloud_that_is_silent_past_every_deadline_takes_nothing_away(world: World, cloud: Cloud) -> None:
    """One machine is ready, another on its way; the cloud falls silent for longer than either may take."""
    limits = {"launch_seconds": 5, "registration_seconds": 6, "retry_seconds": 0.5, "collect_seconds": 0.5,
              "grace_seconds": 0, "settle_seconds": 0}  # fmt: skip
    world.uid = await world.apply_workspace()
    async with world.provisioner(cloud.name, **limits):
        await world.bus.publish(world.demand(1, provider=cloud.name, size=cloud.size))
        await until(lambda: made(cloud, 1))
        await cloud.join(world.kube, world.uid, 0)
        await world.until_report(ready, provider=cloud.name)
        before = cloud.machines()
        cloud.fail("silence")
        fell_silent, calls = time.monotonic(), cloud.calls()
        await world.bus.publish(world.demand(2, 2, provider=cloud.name, size=cloud.size))
        said = await world.until_report(lambda r: r.failure, provider=cloud.name)
        assert said.failure is not None
        assert said.failure.code is FailureCode.TIMEOUT
        assert not said.failure.terminal
        assert "asked again" in str(said.next_step)
        await until(lambda: later(fell_silent + 8), 20)
        assert cloud.calls() - calls < 100, "a silent cloud is not hammered"
        assert cloud.machines() == before
        assert len(await world.nodes()) == 1
        cloud.heal()
        await until(lambda: made(cloud, 2), otherwise=lambda: world.report(cloud.name))
        await cloud.join(world.kube, world.uid, 1)
        said = await world.until_report(lambda r: r.plan_revision == 2 and ready(r), provider=cloud.name)
        assert set(before) <= set(cloud.machines())
        await let_go(world, cloud)
    await world.delete_workspace()


async def made(cloud: Cloud, number: int) -> bool:
    return len(cloud.machines()) == number


async def later(moment: float) -> bool:
    return time.monotonic() > moment


async def test_the_age_of_a_machine_goes_by_our_clock_and_not_by_the_clouds(
    world: World, moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EKS believes the group to be made an hour ago; AKS tells no time at all, and keeps ours."""
    async with aws(moto, monkeypatch) as front, world.provisioner("aws"):
        name = instance_name("aws", world.uid, 0)
        front.change(name, createdAt=time.time() - 3600, status="CREATING")
        await world.bus.publish(world.demand(1, provider="aws", size="g5.xlarge"))
        said = await world.until_report(lambda r: r.nodes, provider="aws")
        assert said.failure is None
        labels = front.groups[name]["labels"]
        assert isinstance(labels, dict)
        await join(world.kube, f"ip-{name}", labels | {NODE_LABEL: name}, ["sku=gpu:NoSchedule"])
        await world.until_report(ready, provider="aws")
        assert len(front.requests("POST", "node-groups")) == 1
        await world.bus.publish(world.demand(0, 2, provider="aws", size="g5.xlarge"))
        await world.until_report(lambda r: r.released, provider="aws")
