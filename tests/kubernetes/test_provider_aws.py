"""The provider `aws` under the real loop: bus and API server are real, AWS is moto's server over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.provisioner.provider import instance_name
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from tests.integration.aws_front import AwsFront, Moto, Reply, aws, eks_error, typed_error
from tests.kubernetes import kubelet
from tests.kubernetes.provisioner_fixtures import World, ready, until, world
from tests.stack import AT_ONCE

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = "g5.xlarge"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    server = Moto()
    yield server
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def cloud(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsFront]:
    async with aws(moto, monkeypatch) as front:
        yield front


async def join(world: World, cloud: AwsFront, group: str) -> None:
    """What EKS does with a node group: a node joins, with the labels that were asked for and the group's name."""
    asked = cloud.groups[group]["labels"]
    assert isinstance(asked, dict)
    await kubelet.join(world.kube, f"ip-{group}", {**asked, NODE_LABEL: group})


async def offered(world: World) -> bool:
    return any(offers.provider == "aws" for offers in await world.bus.offers())


async def test_a_demand_becomes_node_groups_and_zero_lets_go_of_them(world: World, cloud: AwsFront) -> None:
    groups = [instance_name("aws", world.uid, index) for index in range(2)]
    async with world.provisioner("aws"):
        await world.bus.publish(world.demand(2, provider="aws", size=SIZE))
        await world.until_report(lambda r: len(r.nodes) == 2, provider="aws")
        for group in groups:
            await join(world, cloud, group)
        said = await world.until_report(ready, provider="aws")
        assert [node.name for node in said.nodes] == [f"ip-{group}" for group in groups]

        await world.bus.publish(world.demand(0, 2, provider="aws", size=SIZE))
        await world.until_report(lambda r: r.released, provider="aws")
    assert len(cloud.requests("POST", "node-groups")) == len(cloud.requests("DELETE")) == 2
    assert await world.node_names() == []


@pytest.mark.parametrize(
    ("requests", "reply", "code"),
    [
        ("node-groups", typed_error("ExpiredTokenException", "The security token is expired", 403), "Unauthorized"),
        ("POST /clusters", eks_error("ResourceLimitExceededException", "limit of 30 reached"), "QuotaExceeded"),
        ("node-groups", eks_error("ResourceNotFoundException", "No cluster found for name: m.", 404), "NotFound"),
    ],
    ids=["credentials", "quota", "cluster"],
)
async def test_a_refusal_is_reported_in_awss_words_at_once(
    world: World, cloud: AwsFront, requests: str, reply: Reply, code: str
) -> None:
    async with world.provisioner("aws"):
        await until(lambda: offered(world))
        cloud.always(requests, reply)
        began = time.monotonic()
        await world.bus.publish(world.demand(1, provider="aws", size=SIZE))
        said = await world.until_report(lambda r: r.failure, provider="aws")
        assert time.monotonic() - began < AT_ONCE
    assert said.failure is not None
    assert said.failure.code == code
    assert said.failure.message.startswith(json.loads(reply.body)["message"])
    assert said.failure.terminal
    assert "the cloud is asked again at" in str(said.next_step)
