"""What a cloud may refuse, under the real loop: told within five seconds, in its own words, and nothing left behind.

Each is put to `azure` and to `aws`, whose SDKs speak over HTTP; bus and API server are real.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.contracts.errors import FailureCode
from services.contracts.messages import Report
from services.provisioner.provider import instance_name
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from services.provisioner.providers.azure.naming import AGENT_POOL, pool_name
from tests.azure_arm.refusals import REFUSALS as REFUSALS_OF_AZURE
from tests.azure_arm.refusals import fall_silent, refuse
from tests.integration.aws_front import SILENCE, Moto, aws, eks_error, typed_error
from tests.integration.azure_cloud import cloud_on
from tests.kubernetes.kubelet import join
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.stack import AT_ONCE

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

CODE = FailureCode
SECONDS = AT_ONCE
"""From the demand to the report."""


@dataclass
class Cloud:
    """`fail` makes it answer so from now on, `heal` no more. `machines` are all there are, `calls` how many were made.

    `join` brings the node of the workspace's machine of that index up.
    """

    name: str
    size: str
    fail: Callable[[str], None]
    heal: Callable[[], None]
    machines: Callable[[], list[str]]
    calls: Callable[[], int]
    join: Callable[[World, int], Awaitable[None]]


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    server = Moto()
    yield server
    server.stop()


@pytest_asyncio.fixture(loop_scope="session", params=["azure", "aws"])
async def cloud(
    request: pytest.FixtureRequest, world: World, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cloud]:
    async with on_azure(tmp_path, monkeypatch) if request.param == "azure" else on_aws(moto, monkeypatch) as found:
        yield found


# -- azure


@asynccontextmanager
async def on_azure(folder: Path, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    async with cloud_on(folder, env) as behind:
        arm = behind.arm
        env.setenv("KAITOBUS_AZURE_CALL_SECONDS", "2")

        def fail(what: str) -> None:
            if what == "silence":
                fall_silent(arm.script)
            elif what != "cluster":  # it knows of one cluster, and says so by itself
                refuse(arm.script, what)

        async def comes(world: World, index: int) -> None:
            pool = arm.state.pools[pool_name(instance_name("azure", world.uid, index))]
            labels = pool.properties["nodeLabels"]
            assert isinstance(labels, dict)
            await join(world.kube, f"aks-{pool.name}", labels | {AGENT_POOL: pool.name}, pool.taints)
            arm.state.succeed(pool.name)

        def machines() -> list[str]:
            arm.state.finish_deletions()
            return list(arm.state.pools)

        yield Cloud("azure", "Standard_NC24ads_A100_v4", fail, arm.script.heal, machines, lambda: len(arm.seen), comes)


# -- aws

AWS = {
    "permission": ("POST /clusters", typed_error("AccessDeniedException", "User is not authorized to perform it", 403)),
    "region": (
        "POST /clusters",
        eks_error("InvalidRequestException", "The supplied instance types do not exist: [g5]"),
    ),
    "quota": ("POST /clusters", eks_error("ResourceLimitExceededException", "limit of 30 node groups reached")),
    "capacity": ("POST /clusters", eks_error("InsufficientInstanceCapacity", "We do not have sufficient capacity")),
    "subnet": ("POST /clusters", eks_error("InsufficientFreeAddressesInSubnet", "Not enough free addresses in subnet")),
    "policy": (
        "POST /clusters",
        typed_error("AccessDeniedException", "explicit deny in a service control policy", 403),
    ),
    "cluster": ("/nowhere/", eks_error("ResourceNotFoundException", "No cluster found for name: nowhere.", 404)),
    "clock": ("/node-groups", typed_error("InvalidSignatureException", "Signature not yet current: 20990101", 403)),
}


@asynccontextmanager
async def on_aws(moto: Moto, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    async with aws(moto, env) as front:
        env.setenv("KAITOBUS_AWS_REQUEST_SECONDS", "1")

        def fail(what: str) -> None:
            pattern, reply = (".", SILENCE) if what == "silence" else AWS[what]
            front.always(pattern, reply)

        async def comes(world: World, index: int) -> None:
            name = instance_name("aws", world.uid, index)
            labels = front.groups[name]["labels"]
            assert isinstance(labels, dict)
            await join(world.kube, f"ip-{name}", labels | {NODE_LABEL: name}, ["sku=gpu:NoSchedule"])

        yield Cloud("aws", "g5.xlarge", fail, front.heal, lambda: list(front.groups), lambda: len(front.seen), comes)


# -- refusals


async def told(world: World, cloud: Cloud, code: FailureCode, words: str, **parameters: str) -> Report:
    """A demand meets with a failure; returns the report, after all that every such report must say was looked at."""
    await world.bus.publish(world.demand(1, 1, cloud.name, cloud.size, **parameters))
    await until(lambda: asked(world, cloud))  # how long an SDK reads its tables at the start is not what is measured
    began = time.monotonic()
    said = await world.until_report(lambda r: r.failure, provider=cloud.name)
    assert time.monotonic() - began < SECONDS
    assert said.failure is not None
    assert said.failure.code is code
    assert words in said.failure.message
    assert said.failure.retry_at is not None
    assert "the cloud is asked again at" in str(said.next_step)
    assert said.next_at == said.failure.retry_at
    assert [c.is_true for c in said.conditions] == [False, False, False]
    assert words in said.conditions[0].message
    assert not said.nodes
    return said


async def let_go(world: World, cloud: Cloud) -> None:
    """Nothing is left behind, neither there nor here."""
    await world.bus.publish(world.demand(0, 9, provider=cloud.name, size=cloud.size))
    await world.until_report(lambda r: not cloud.machines() and r.released, provider=cloud.name)
    assert cloud.machines() == []


REFUSALS = [
    ("permission", CODE.UNAUTHORIZED, "authoriz"),
    ("region", CODE.INVALID_REQUEST, "The "),
    ("quota", CODE.QUOTA_EXCEEDED, "exceed|limit of 30"),
    ("capacity", CODE.INSUFFICIENT_CAPACITY, "available|capacity"),
    ("subnet", CODE.INSUFFICIENT_CAPACITY, "addresses"),
    ("clock", CODE.UNAUTHORIZED, "not yet"),
]


@pytest.mark.parametrize(("what", "code", "words"), REFUSALS, ids=[r[0] for r in REFUSALS])
async def test_a_refusal_is_told_in_the_clouds_words_and_leaves_nothing(
    world: World, cloud: Cloud, what: str, code: FailureCode, words: str
) -> None:
    cloud.fail(what)
    async with world.provisioner(cloud.name):
        said = await told(world, cloud, code, next(w for w in words.split("|") if w in own_words(cloud, what)))
        assert said.failure is not None
        assert said.failure.terminal
        assert cloud.machines() == []
        cloud.heal()
        await let_go(world, cloud)


def own_words(cloud: Cloud, what: str) -> str:
    return REFUSALS_OF_AZURE[what][3] if cloud.name == "azure" else AWS[what][1].body


async def test_a_policys_refusal_is_told_with_its_name(world: World, cloud: Cloud) -> None:
    cloud.fail("policy")
    code = CODE.INVALID_REQUEST if cloud.name == "azure" else CODE.UNAUTHORIZED
    async with world.provisioner(cloud.name):
        said = await told(world, cloud, code, "policy")
        assert said.failure is not None
        assert said.failure.terminal
        cloud.heal()
        await let_go(world, cloud)


async def test_wrong_credentials(world: World, cloud: Cloud) -> None:
    if cloud.name == "azure":
        world.env.setenv("AZURE_CLIENT_SECRET", "wrong")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            world.env.delenv(name)
    words = {"azure": "AADSTS7000215", "aws": "the AWS SDK has no usable credentials"}
    async with world.provisioner(cloud.name) as service:
        said = await told(world, cloud, CODE.UNAUTHORIZED, words[cloud.name])
        assert said.failure is not None
        assert said.failure.terminal
        if cloud.name == "azure":
            assert "AADSTS7000215" in str(await service.health.problems())
    assert cloud.machines() == []


async def test_an_unknown_cluster(world: World, cloud: Cloud) -> None:
    world.env.setenv(f"KAITOBUS_{cloud.name.upper()}_CLUSTER", "nowhere")
    cloud.fail("cluster")
    async with world.provisioner(cloud.name):
        said = await told(world, cloud, CODE.NOT_FOUND, "nowhere")
        assert said.failure is not None
        assert said.failure.terminal
    assert cloud.machines() == []


async def test_a_demand_that_asks_for_what_there_is_not(world: World, cloud: Cloud) -> None:
    bad = {"azure": {"zones": "east"}, "aws": {"capacity_type": "sopt"}}[cloud.name]
    words = {"azure": "azure.kaito.sh/zones: 'east' is no list of zones", "aws": "aws.kaito.sh/capacity-type: 'sopt'"}
    async with world.provisioner(cloud.name):
        await told(world, cloud, CODE.INVALID_REQUEST, words[cloud.name], **bad)
        assert cloud.machines() == []
        await let_go(world, cloud)


async def test_two_provisioners_that_are_started_by_mistake_make_each_machine_once(world: World, cloud: Cloud) -> None:
    async with world.provisioner(cloud.name), world.provisioner(cloud.name):
        await world.bus.publish(world.demand(2, provider=cloud.name, size=cloud.size))
        await world.until_report(lambda r: len(r.nodes) == 2, provider=cloud.name)
        assert len(cloud.machines()) == 2
        for index in range(2):
            await cloud.join(world, index)
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
        await cloud.join(world, 0)
        await world.until_report(ready, provider=cloud.name)
        before = cloud.machines()
        cloud.fail("silence")
        fell_silent, calls = time.monotonic(), cloud.calls()
        await world.bus.publish(world.demand(2, 2, provider=cloud.name, size=cloud.size))
        said = await world.until_report(lambda r: r.failure, provider=cloud.name)
        assert said.failure is not None
        assert said.failure.code is CODE.TIMEOUT
        assert not said.failure.terminal
        assert "asked again" in str(said.next_step)
        await until(lambda: later(fell_silent + 8), 20)
        assert cloud.calls() - calls < 100, "a silent cloud is not hammered"
        assert cloud.machines() == before
        assert len(await world.nodes()) == 1
        cloud.heal()
        await until(lambda: made(cloud, 2))
        await cloud.join(world, 1)
        said = await world.until_report(lambda r: r.plan_revision == 2 and ready(r), provider=cloud.name)
        assert set(before) <= set(cloud.machines())
        await let_go(world, cloud)
    await world.delete_workspace()


async def asked(world: World, cloud: Cloud) -> bool:
    """Whether the provisioner is at work: without credentials it tells that without asking anybody."""
    return cloud.calls() > 0 or await world.report(cloud.name) is not None


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
