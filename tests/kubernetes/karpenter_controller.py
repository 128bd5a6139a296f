"""A controller that does to NodeClaims on a real API server what Karpenter does, step by step as a test tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from services.chassis.kube import (
    CRDS,
    EVENTS,
    NODES,
    Conflict,
    JsonObject,
    KubeClient,
    KubeError,
    NotFound,
    ObjectRef,
    Resource,
    dig_dict,
    dig_dicts,
    dig_list,
    dig_str,
)
from services.provisioner.providers.karpenter.claim import NODECLAIMS
from tests.plane import Kubectl, established

log = logging.getLogger(__name__)

FILE = Path(__file__).parents[1] / "data" / "karpenter-crds.yaml"
CLASS = "karpenter.example.com/TestNodeClass/default"
TEST_CLASSES = Resource("karpenter.example.com", "v1beta1", "testnodeclasses", "TestNodeClass", namespaced=False)
KAITO_CLASSES = Resource("kaito.sh", "v1alpha1", "kaitonodeclasses", "KaitoNodeClass", namespaced=False)
CRD_NAMES = ("nodeclaims.karpenter.sh", "kaitonodeclasses.kaito.sh", "testnodeclasses.karpenter.example.com")
FINALIZER = "karpenter.sh/termination"
NO_CAPACITY = "insufficient capacity, all requested instance types were unavailable during launch"


async def install(kube: KubeClient, kubectl: Kubectl) -> dict[str, str]:
    """The CRDs, and node classes that are ready. Returns the settings that name one of them."""
    if not all([await _is_served(kube, name) for name in CRD_NAMES]):
        await kubectl("apply", "-f", str(FILE))
        await established(kubectl, *CRD_NAMES)
    await make_class(kube, TEST_CLASSES, ready="True")
    await make_class(kube, KAITO_CLASSES)
    return {"KAITOBUS_KARPENTER_NODE_CLASS": CLASS, "KAITOBUS_KARPENTER_SKUS": "azure"}


async def _is_served(kube: KubeClient, crd: str) -> bool:
    found = await kube.get(ObjectRef(CRDS, crd))
    conditions = {dig_str(c, "type"): dig_str(c, "status") for c in dig_dicts(found, "status", "conditions")}
    return conditions.get("Established") == "True" and not dig_str(found, "metadata", "deletionTimestamp")


async def make_class(kube: KubeClient, resource: Resource, ready: str | None = None, message: str = "") -> None:
    """A node class, and what its controller says of it."""
    ref = ObjectRef(resource, "default")
    if await kube.get(ref) is None:
        body: JsonObject = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "default"}}
        await kube.create(resource, body)
    conditions = [{"type": "Ready", "status": ready, "reason": "Tested", "message": message}] if ready else []
    await kube.merge_patch(ref, {"status": {"conditions": conditions}}, subresource="status")


class Karpenter:
    """`upto` is the last step that claims reach. `refusal` is the reason and message of a launch that fails.

    With `no_capacity` a claim gets an event, and is deleted, as core does it. With `holds` machines do not end.
    """

    def __init__(self, kube: KubeClient) -> None:
        self.kube = kube
        self.upto = "Initialized"
        self.refusal: tuple[str, str] | None = None
        self.no_capacity = False
        self.holds = False
        self.launches: list[str] = []
        """The uid of each claim whose launch was tried."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Karpenter]:
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self.holds = False
            await self._end_all()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def claims(self) -> list[JsonObject]:
        return (await self.kube.list(NODECLAIMS)).items

    async def _run(self) -> None:
        """Whatever a call brings, the next look comes, as with any controller."""
        while True:
            try:
                for claim in await self.claims():
                    await self._try(claim)
            except KubeError as error:
                log.warning("the claims cannot be read: %s", error)
            await asyncio.sleep(0.2)

    async def _try(self, claim: JsonObject) -> None:
        try:
            await self._reconcile(claim)
        except (Conflict, NotFound):
            return
        except KubeError as error:
            log.warning("a claim must wait: %s", error)

    async def _end_all(self) -> None:
        async with asyncio.timeout(60):
            while claims := await self.claims():
                for claim in claims:
                    await self.kube.delete(ObjectRef.of(NODECLAIMS, claim))
                await asyncio.sleep(0.2)

    async def _reconcile(self, claim: JsonObject) -> None:
        if dig_str(claim, "metadata", "deletionTimestamp"):
            await self._finalize(claim)
        elif FINALIZER not in dig_list(claim, "metadata", "finalizers"):
            await self._patch(claim, {"metadata": {"finalizers": [FINALIZER], "resourceVersion": _version(claim)}})
        elif not has(claim, "Launched"):
            await self._launch(claim)
        elif self.upto != "Launched" and not has(claim, "Registered"):
            await self._register(claim)
        elif self.upto == "Initialized" and not has(claim, "Initialized"):
            await self._status(claim, {"Initialized": ("True", "Initialized", ""), "Ready": ("True", "Ready", "")})

    async def _launch(self, claim: JsonObject) -> None:
        if self.upto == "What the test says":
            return None
        if self.upto == "Nothing":
            waits = ("Unknown", "AwaitingReconciliation", "object is awaiting reconciliation")
            return await self._status(claim, {"Launched": waits, "Registered": waits, "Initialized": waits})
        uid = dig_str(claim, "metadata", "uid")
        if uid not in self.launches:
            self.launches.append(uid)
        if self.no_capacity:
            await self._tell(claim, "InsufficientCapacityError", NO_CAPACITY)
            await self.kube.delete(ObjectRef.of(NODECLAIMS, claim))
            return None
        if self.refusal:
            return await self._status(claim, {"Launched": ("Unknown", *self.refusal)})
        await self._status(
            claim, {"Launched": ("True", "Launched", "")}, providerID=f"test://{dig_str(claim, 'metadata', 'name')}"
        )
        return None

    async def _register(self, claim: JsonObject) -> None:
        name = node_name(claim)
        if await self.kube.get(ObjectRef(NODES, name)) is None:
            await self.kube.create(NODES, new_node(name, dig_dict(claim, "metadata", "labels"), claim))
        await self._status(claim, {"Registered": ("True", "Registered", "")}, nodeName=name)

    async def _finalize(self, claim: JsonObject) -> None:
        if self.holds:
            return
        await self.kube.delete(ObjectRef(NODES, node_name(claim)))
        await self._patch(claim, {"metadata": {"finalizers": None, "resourceVersion": _version(claim)}})

    async def _tell(self, claim: JsonObject, reason: str, message: str) -> None:
        name, now = dig_str(claim, "metadata", "name"), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        uid = dig_str(claim, "metadata", "uid")
        event: JsonObject = {
            "metadata": {"name": f"{name}.{uid[:8]}", "namespace": "default"},
            "involvedObject": {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": name, "uid": uid},
            "reason": reason, "message": f"NodeClaim {name} event: {message}", "type": "Warning",
            "firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": {"component": "karpenter"},
        }  # fmt: skip
        await self.kube.create(EVENTS, event)

    async def condition(self, claim: JsonObject, step: str, *said: str) -> None:
        """Say something of a claim: status, reason and message of one of its steps. The controller lets it be then."""
        self.upto = "What the test says"
        status, reason, message = said
        await self._status(claim, {step: (status, reason, message)})

    async def _status(self, claim: JsonObject, steps: dict[str, tuple[str, str, str]], **fields: str) -> None:
        """Set conditions; a transition time changes with the status only."""
        before = {dig_str(c, "type"): c for c in dig_dicts(claim, "status", "conditions")}
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for step, (status, reason, message) in steps.items():
            old = before.get(step, {})
            at = old.get("lastTransitionTime") if old.get("status") == status else now
            before[step] = {
                "type": step, "status": status, "reason": reason, "message": message, "lastTransitionTime": at
            }  # fmt: skip
        patch: JsonObject = {"status": {"conditions": list(before.values()), **fields}}
        if list(before.values()) != dig_dicts(claim, "status", "conditions"):
            await self._patch(claim, patch, subresource="status")

    async def _patch(self, claim: JsonObject, patch: JsonObject, subresource: str | None = None) -> None:
        await self.kube.merge_patch(ObjectRef.of(NODECLAIMS, claim), patch, subresource=subresource)


def has(claim: JsonObject, step: str) -> bool:
    conditions = dig_dicts(claim, "status", "conditions")
    return any(c.get("type") == step and c.get("status") == "True" for c in conditions)


def node_name(claim: JsonObject) -> str:
    return f"node-of-{dig_str(claim, 'metadata', 'name')}"


def new_node(name: str, labels: JsonObject, claim: JsonObject) -> JsonObject:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    capacity = {"cpu": "24", "memory": "220Gi", "pods": "110", "nvidia.com/gpu": "8"}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"test://{name}", "taints": dig_dicts(claim, "spec", "taints")},
        "status": {
            "capacity": capacity, "allocatable": capacity,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now,
                 "lastTransitionTime": now}
            ],
        },
    }  # fmt: skip


def _version(claim: JsonObject) -> str:
    return dig_str(claim, "metadata", "resourceVersion")
