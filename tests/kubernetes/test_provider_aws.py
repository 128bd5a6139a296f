"""The provider `aws` under the real loop: bus and API server are real, AWS is moto's server over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.provisioner.provider import instance_name
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from tests.integration.aws_front import AwsFront, Moto, aws, moto
from tests.kubernetes import kubelet
from tests.kubernetes.provisioner_fixtures import World, ready, world

__all__ = ["moto", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = "g5.xlarge"


@pytest_asyncio.fixture(loop_scope="session")
async def cloud(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsFront]:
    async with aws(moto, monkeypatch) as front:
        yield front


async def join(world: World, cloud: AwsFront, group: str) -> None:
    """What EKS does with a node group: a node joins, with the labels that were asked for and the group's name."""
    asked = cloud.groups[group]["labels"]
    assert isinstance(asked, dict)
    await kubelet.join(world.kube, f"ip-{group}", {**asked, NODE_LABEL: group})


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
