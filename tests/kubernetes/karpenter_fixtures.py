"""What the tests of the provider `karpenter` share: its cluster with the controller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.kubernetes.karpenter_controller import Karpenter, install
from tests.kubernetes.provisioner_fixtures import World
from tests.plane import Kubectl


@pytest_asyncio.fixture(loop_scope="session")
async def karpenter(world: World, kubectl: Kubectl) -> AsyncIterator[Karpenter]:
    """The CRDs, a node class that is ready, settings that name it, and the controller."""
    for name, value in (await install(world.kube, kubectl)).items():
        world.env.setenv(name, value)
    async with Karpenter(world.kube).running() as controller:
        yield controller


async def number(karpenter: Karpenter, wanted: int) -> bool:
    """Whether there are so many claims."""
    return len(await karpenter.claims()) == wanted
