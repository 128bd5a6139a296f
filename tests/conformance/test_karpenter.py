"""The provider `karpenter`: NodeClaims on a real API server, with a controller that does what Karpenter does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.chassis.kube import JsonObject, KubeClient, ObjectRef, dig_str
from services.provisioner.providers.karpenter.claim import NODECLAIMS
from services.provisioner.providers.karpenter.progress import size_of
from tests.conformance.conftest import nodes_of
from tests.conformance.suite import Cloud, ProviderSuite
from tests.kubernetes.karpenter_controller import Karpenter, has, install
from tests.plane import Kubectl

SIZE = "Standard_NC24ads_A100_v4"
QUOTA, CAPACITY, FORBIDDEN = "Standard_NC4as_T4_v3", "Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3"
THROTTLED, LATE, CRASH = "Standard_NC64as_T4_v3", "Standard_NC48ads_A100_v4", "Standard_NC96ads_A100_v4"
VANISHES = "Standard_NV36ads_A10_v5"
FAULTS = {
    "quota": QUOTA, "capacity": CAPACITY, "unauthorized": FORBIDDEN, "throttling": THROTTLED, "late": LATE,
    "crash": CRASH, "vanish": VANISHES,
}  # fmt: skip
REFUSED = {
    QUOTA: ("SubscriptionQuotaReached", "subscription level vCPU quota has been reached"),
    CAPACITY: ("InsufficientCapacityError", "all requested instance types were unavailable during launch"),
    FORBIDDEN: ("Unauthorized", "not authorized to perform this operation"),
}
VANISHES_AFTER = 4.0


class Scripted(Karpenter):
    """Goes by the size: what is refused, and what befalls the first claim of a size, but no later one."""

    def __init__(self, kube: KubeClient, cloud: Cloud) -> None:
        super().__init__(kube)
        self._cloud = cloud
        self._first: dict[str, str] = {}
        self._up: dict[str, float] = {}

    async def _launch(self, claim: JsonObject) -> None:
        size, uid = size_of(claim), dig_str(claim, "metadata", "uid")
        is_first = self._first.setdefault(size, uid) == uid
        self.refusal = REFUSED.get(size)
        if size == THROTTLED and is_first:
            self.refusal = ("LaunchFailed", "RequestLimitExceeded: Request limit exceeded")
        if size == LATE and is_first:
            return
        if size == CRASH and is_first and uid not in self.launches:
            self.launches.append(uid)
            self._cloud.kill()
        await super()._launch(claim)

    async def _reconcile(self, claim: JsonObject) -> None:
        uid = dig_str(claim, "metadata", "uid")
        if size_of(claim) == VANISHES and self._first.get(VANISHES) == uid and has(claim, "Initialized"):
            since = self._up.setdefault(uid, time.monotonic())
            if time.monotonic() - since > VANISHES_AFTER and not dig_str(claim, "metadata", "deletionTimestamp"):
                await self.kube.delete(ObjectRef.of(NODECLAIMS, claim))
                return
        await super()._reconcile(claim)


class TestKarpenter(ProviderSuite):
    """The cloud's own refusals come as reasons of a claim's conditions."""

    provider = "karpenter"
    page = "karpenter.md"
    size = SIZE

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
        await install(kube, kubectl)
        env = {"KAITOBUS_KARPENTER_NODE_CLASS": "KaitoNodeClass", "KAITOBUS_LAUNCH_SECONDS": "6"}

        async def left() -> list[str]:
            claims = (await kube.list(NODECLAIMS)).items
            return [*(dig_str(claim, "metadata", "name") for claim in claims), *await nodes_of(kube, "karpenter")]

        cloud = Cloud(env, {name: {"instanceType": size} for name, size in FAULTS.items()}, left)
        async with Scripted(kube, cloud).running():
            yield cloud
