"""The provider `byo`: nodes that are there already, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import NODES, KubeClient, NotFound, ObjectRef, dig_str
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.contracts.messages import Report
from services.contracts.subjects import ServiceName, report
from services.provisioner.provider import Owner
from services.provisioner.providers.byo.claims import RECORD, claim_of
from tests.conformance.conftest import node_names
from tests.conformance.suite import Cloud, ProviderSuite, meanwhile
from tests.integration.conftest import NatsServer
from tests.kubernetes.kubelet import beat, join, leave

CORDONED, VANISHES = "H100-80GB", "L4-24GB"
OURS = "nvidia.com/gpu.product"
"""What no node of another provider carries."""
BEAT = 5.0
"""Seconds between two signs of life of a kubelet."""


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
        for name in await node_names(kube, OURS):
            with suppress(NotFound):
                await beat(kube, name)
        await asyncio.sleep(BEAT)


async def take_away(kube: KubeClient, bus: Bus) -> None:
    """The first node of its size goes, once, when its workspace has been told that it is ready."""
    while True:
        for name in [n for n in await node_names(kube, OURS) if n.startswith("l4")]:
            claim = claim_of(await kube.get(ObjectRef(NODES, name)) or {})
            if claim and await is_told(bus, claim.owner):
                return await leave(kube, name)
        await asyncio.sleep(0.1)


async def is_told(bus: Bus, owner: Owner) -> bool:
    """Whether the newest report says that all is well."""
    said = await bus.newest(Report, report(ServiceName.PROVISIONER, owner.namespace, owner.name, "byo"))
    return said is not None and bool(said.conditions) and all(c.is_true for c in said.conditions)


class TestByo(ProviderSuite):
    """What a cloud would refuse, nodes that exist cannot: the table says so of each."""

    provider = "byo"
    page = "byo.md"
    size = "byo-A100-80GB-x8"
    starts = 2

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient, nats_server: NatsServer) -> AsyncIterator[Cloud]:
        nodes = {"a100-0": "A100-80GB", "a100-1": "A100-80GB", "h100": CORDONED, "l4-0": VANISHES, "l4-1": VANISHES}
        for name, product in nodes.items():
            await join(kube, name, labels(product))
        await kube.merge_patch(ObjectRef(NODES, "h100"), {"spec": {"unschedulable": True}})

        async def left() -> list[str]:
            found = (await kube.list(NODES, labels=OURS)).items
            assert len(found) == len(nodes) - 1
            return [n for node in found if (n := dig_str(node, "metadata", "annotations", RECORD))]

        faults = {
            "capacity": {"instanceType": f"byo-{CORDONED}-x8"},
            "vanish": {"instanceType": f"byo-{VANISHES}-x8"},
        }
        bus = Bus(Settings(nats_url=nats_server.url), Telemetry(None, "test"), Metrics())
        await bus.connect()
        async with meanwhile(keep_well(kube), take_away(kube, bus)):
            yield Cloud({}, faults, left)
        await bus.close()
        for name in await node_names(kube, OURS):
            await kube.delete(ObjectRef(NODES, name))
