"""The provider `azure`: the real SDK over TLS before the small Resource Manager, with kubelets on a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.kube import KubeClient, KubeError
from services.provisioner.providers.azure.naming import AGENT_POOL
from tests.azure_arm.script import Play
from tests.azure_arm.server import AzureArm
from tests.azure_arm.state import Pool
from tests.conformance.conftest import nodes_of
from tests.conformance.suite import Cloud, ProviderSuite, meanwhile
from tests.integration.azure_cloud import cloud_on, sku
from tests.kubernetes.kubelet import join, leave

SIZE = "Standard_NC24ads_A100_v4"
QUOTA, CAPACITY, FORBIDDEN = "Standard_NC4as_T4_v3", "Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3"
THROTTLED, LATE, CRASH = "Standard_NC64as_T4_v3", "Standard_NC48ads_A100_v4", "Standard_NC96ads_A100_v4"
VANISHES = "Standard_NV36ads_A10_v5"
FAULTS = {
    "quota": QUOTA, "capacity": CAPACITY, "unauthorized": FORBIDDEN, "throttling": THROTTLED, "late": LATE,
    "crash": CRASH, "vanish": VANISHES,
}  # fmt: skip
VANISHES_AFTER = 4.0


def error(status: int, code: str, message: str, **headers: str) -> Play:
    return Play(
        status, {"error": {"code": code, "message": message}}, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def misbehave(arm: AzureArm, cloud: Cloud) -> None:
    """Which size meets with what, as Resource Manager answers it."""
    script = arm.script
    script.always(f"create:{QUOTA}", error(400, "QuotaExceeded", "exceeding approved standardNCASv3Family Cores quota"))
    script.always(f"create:{CAPACITY}", error(409, "AllocationFailed", "sufficient capacity is not there"))
    script.always(f"create:{FORBIDDEN}", error(403, "AuthorizationFailed", "does not have authorization"))
    script.play(f"create:{THROTTLED}", error(429, "TooManyRequests", "slowly", Retry_After="3"))
    script.hang(f"create:{LATE}", after=True)
    script.play(f"create:{CRASH}", Play(None, after=True, first=cloud.kill))


class Aks:
    """What goes on behind Resource Manager: machines boot and join, are taken down, and now and then are taken away."""

    def __init__(self, arm: AzureArm, kube: KubeClient) -> None:
        self._arm = arm
        self._kube = kube
        self._up_since: dict[str, float] = {}
        self._taken = False

    async def run(self) -> None:
        while True:
            for pool in tuple(self._arm.state.pools.values()):
                with suppress(KubeError):  # an API server that is slow, a node taken away meanwhile: again, next time
                    await self._go_on(pool)
            await asyncio.sleep(0.2)

    async def _go_on(self, pool: Pool) -> None:
        if pool.state == "Creating":
            await self._boot(pool)
        elif pool.state == "Deleting" or self._is_reclaimed(pool):
            await leave(self._kube, node_of(pool))
            self._arm.state.pools.pop(pool.name, None)

    async def _boot(self, pool: Pool) -> None:
        labels = pool.properties.get("nodeLabels")
        assert isinstance(labels, dict)
        await join(self._kube, node_of(pool), labels | {AGENT_POOL: pool.name}, pool.taints)
        if self._arm.state.pools.get(pool.name) is pool and pool.state == "Creating":
            self._arm.state.succeed(pool.name)
            self._up_since[pool.name] = time.monotonic()

    def _is_reclaimed(self, pool: Pool) -> bool:
        """One of the size that vanishes, once."""
        here = pool.properties.get("vmSize") == VANISHES and not self._taken
        self._taken |= (gone := here and time.monotonic() - self._up_since[pool.name] > VANISHES_AFTER)
        return gone


def node_of(pool: Pool) -> str:
    return f"aks-{pool.name}-vmss000000"


class TestAzure(ProviderSuite):
    """Each fault is a size of its own: what is refused of one is remembered for that size alone."""

    provider = "azure"
    page = "azure.md"
    size = SIZE

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
        async with cloud_on(tmp_path, monkeypatch) as azure:
            azure.arm.skus = [sku(name) for name in (SIZE, *FAULTS.values())]

            async def left() -> list[str]:
                return [*azure.arm.state.pools, *await nodes_of(kube, "azure")]

            faults = {name: {"instanceType": size} for name, size in FAULTS.items()}
            cloud = Cloud({"KAITOBUS_AZURE_CALL_SECONDS": "2"}, faults, left)
            misbehave(azure.arm, cloud)
            async with meanwhile(Aks(azure.arm, kube).run()):
                yield cloud
