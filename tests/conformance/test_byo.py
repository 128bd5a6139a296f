"""The provider `byo`: nodes that are there already, on a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest_asyncio

from services.chassis.kube import NODES, KubeClient, NotFound, ObjectRef, dig_str
from services.provisioner.providers.byo.claims import RECORD
from tests.conformance.conftest import node_names
from tests.conformance.suite import Cloud, ProviderSuite, meanwhile
from tests.kubernetes.kubelet import beat, join, leave

CORDONED, VANISHES = "H100-80GB", "L4-24GB"
VANISHES_AFTER = 4.0


def labels(product: str) -> dict[str, str]:
    """As GPU Feature Discovery writes them."""
    model, gib = product.split("-")
    memory = int(gib.removesuffix("GB")) * 1024
    return {
        "nvidia.com/gpu.product": f"NVIDIA-{product}",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.memory": str(memory),
        "model": model,
    }


async def keep_well(kube: KubeClient) -> None:
    """The kubelets' part for as long as the nodes are there."""
    while True:
        for name in await node_names(kube):
            with suppress(NotFound):
                await beat(kube, name)
        await asyncio.sleep(5)


async def take_away(kube: KubeClient) -> None:
    """The first node of its size that was claimed goes, once."""
    while True:
        for name in [n for n in await node_names(kube) if n.startswith("l4")]:
            node = await kube.get(ObjectRef(NODES, name))
            if dig_str(node, "metadata", "annotations", RECORD):
                until = time.monotonic() + VANISHES_AFTER
                while time.monotonic() < until:
                    await asyncio.sleep(0.1)
                return await leave(kube, name)
        await asyncio.sleep(0.1)


class TestByo(ProviderSuite):
    """What a cloud would refuse, nodes that exist cannot: the table says so of each."""

    provider = "byo"
    page = "byo.md"
    size = "byo-A100-80GB-x8"
    starts = 2

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient) -> AsyncIterator[Cloud]:
        nodes = {"a100-0": "A100-80GB", "a100-1": "A100-80GB", "h100": CORDONED, "l4-0": VANISHES, "l4-1": VANISHES}
        for name, product in nodes.items():
            await join(kube, name, labels(product))
        await kube.merge_patch(ObjectRef(NODES, "h100"), {"spec": {"unschedulable": True}})

        async def left() -> list[str]:
            found = (await kube.list(NODES)).items
            assert len(found) == len(nodes) - 1
            return [n for node in found if (n := dig_str(node, "metadata", "annotations", RECORD))]

        faults = {
            "capacity": {"instanceType": f"byo-{CORDONED}-x8"},
            "vanish": {"instanceType": f"byo-{VANISHES}-x8"},
        }
        async with meanwhile(keep_well(kube), take_away(kube)):
            yield Cloud({}, faults, left)
