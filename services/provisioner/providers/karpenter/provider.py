"""Karpenter as a cloud: what is asked of it, and what it says, are NodeClaims in the API server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from services.chassis.kube import (
    Conflict,
    Invalid,
    JsonObject,
    KubeClient,
    KubeError,
    ListWatch,
    NotFound,
    ObjectRef,
    Resource,
    Synced,
    Upsert,
    dig_str,
)
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.contracts.workspace import LABEL_PROVIDER, LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, Key
from services.provisioner.providers.cluster_errors import refusal
from services.provisioner.providers.karpenter.claim import MACHINE, NODECLAIMS, PROVIDER, claim_name, new_claim
from services.provisioner.providers.karpenter.node_class import VERSIONS, NodeClass, unfit
from services.provisioner.providers.karpenter.progress import instance_of
from services.provisioner.providers.karpenter.settings import KarpenterSettings
from services.provisioner.providers.karpenter.skus import offers_of
from services.provisioner.providers.karpenter.vanished import Vanished
from services.provisioner.registry import Context

log = logging.getLogger(__name__)

NO_CLAIMS = (
    "the cluster has no NodeClaim (karpenter.sh/v1): install {brought_by}, version 1.0 or later of Karpenter's API"
)


class Unfit(ProviderError):
    """The cluster lacks what claims need. The message says what to install or to mend."""


class KarpenterProvider:
    """The sizes of the node class's cloud, brought by whatever controller serves NodeClaims in this cluster."""

    name = PROVIDER
    simulated = False
    owns_nodes = True

    def __init__(self, kube: KubeClient, nodes: Nodes, node_class: NodeClass) -> None:
        self._kube = kube
        self._nodes = nodes
        self._class = node_class
        self._offers = offers_of(node_class.skus) if node_class.skus else ()
        self._vanished = Vanished(kube)
        self._lacking: str | None = None

    async def offers(self) -> tuple[Offer, ...]:
        """The sizes of the cloud's table; none while the node class is not there, or is not ready."""
        try:
            await self._check()
        except Unfit as error:
            if error.message != self._lacking:
                log.warning("nothing is offered: %s", error.message)
            self._lacking = error.message
            return ()
        self._lacking = None
        return self._offers

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The machines, from their claims as the API server has them now."""
        labels = f"{LABEL_PROVIDER}={PROVIDER}"
        if workspace:
            labels += f",{LABEL_WORKSPACE_NAMESPACE}={workspace[0]},{LABEL_WORKSPACE}={workspace[1]}"
        async with self._speaking():
            claims = await self._kube.list(NODECLAIMS, labels=labels)
        found = (self._instance(claim) for claim in claims.items)
        return tuple(instance for instance in found if instance)

    async def watch(self, changed: Callable[[Key], None], /) -> None:
        """Follow the claims."""
        claims: dict[str, Instance | None] = {}
        async with aclosing(
            ListWatch(self._kube, NODECLAIMS, labels=f"{LABEL_PROVIDER}={PROVIDER}").events()
        ) as events:
            async for event in events:
                if isinstance(event, Synced):
                    continue
                before, after = claims.pop(event.ref.name, None), instance_of(event.obj, None)
                if isinstance(event, Upsert):
                    claims[event.ref.name] = after
                if after and (before != after or not isinstance(event, Upsert)):
                    changed(after.owner.key)

    async def create(self, spec: InstanceSpec) -> Instance:
        """Make the claim, or adopt the one that is there; its spec is left as it is, whatever is asked now."""
        name = claim_name(spec.name, self._class)
        claim = new_claim(spec, self._class)
        async with self._speaking():
            found = await self._kube.get(ObjectRef(NODECLAIMS, name))
            return self._adopted(spec, found or await self._created(name, claim))

    async def _created(self, name: str, claim: JsonObject) -> JsonObject:
        await self._check()
        if why := await self._vanished.failure(name):
            raise why
        try:
            return await self._kube.create(NODECLAIMS, claim)
        except Conflict:
            found = await self._kube.get(ObjectRef(NODECLAIMS, name))
            if found is None:
                raise ProviderError(FailureCode.INTERNAL, f"NodeClaim {name} came and went") from None
            return found

    def _adopted(self, spec: InstanceSpec, claim: JsonObject) -> Instance:
        instance = self._instance(claim)
        if instance is None or instance.owner != spec.owner:
            name = dig_str(claim, "metadata", "name")
            raise ProviderError(FailureCode.INTERNAL, f"a NodeClaim named {name} is there, and is not {spec.name}'s")
        return instance

    async def delete(self, instance: Instance) -> None:
        """Delete the claim. It stays, and is listed, until its controller has taken the machine down."""
        ref = ObjectRef(NODECLAIMS, instance.id)
        async with self._speaking():
            claim = await self._kube.get(ref)
            found = self._instance(claim) if claim else None
            if claim is None or found is None or found.owner != instance.owner:
                return
            uid = dig_str(claim, "metadata", "uid")
            self._vanished.told(uid)
            try:
                await self._kube.delete(ref, uid=uid)
            except Conflict:
                log.info("the claim is gone, and another has its name", extra={"machine": instance.name})

    def _instance(self, claim: JsonObject) -> Instance | None:
        """With the node that carries the machine's label, which may have joined before the claim's status says so."""
        machine = dig_str(claim, "metadata", "labels", MACHINE)
        labels = (dig_str(claim, "metadata", "labels", key) for key in (LABEL_WORKSPACE_NAMESPACE, LABEL_WORKSPACE))
        namespace, workspace = labels
        nodes = (n for n in self._nodes.of((namespace, workspace)) if _machine(n) == machine)
        return instance_of(claim, next((dig_str(node, "metadata", "name") for node in nodes), None))

    async def _check(self) -> None:
        """Raises `Unfit` when claims would not be served."""
        async with self._speaking():
            if await self._resource(NODECLAIMS.group, NODECLAIMS.kind, (NODECLAIMS.version,)) is None:
                raise Unfit(FailureCode.NOT_FOUND, NO_CLAIMS.format(brought_by=self._class.brought_by))
            resource = await self._resource(self._class.group, self._class.kind, VERSIONS)
            if resource is None:
                text = f"the cluster has no {self._class.kind} ({self._class.group}): install {self._class.brought_by}"
                raise Unfit(FailureCode.NOT_FOUND, text)
            found = await self._kube.get(ObjectRef(resource, self._class.name))
        if found is None:
            text = f"there is no {self._class}: create it, or name another one in KAITOBUS_KARPENTER_NODE_CLASS"
            raise Unfit(FailureCode.NOT_FOUND, text)
        if why := unfit(found):
            raise Unfit(FailureCode.INTERNAL, f"{self._class} is not ready: {why}")

    async def _resource(self, group: str, kind: str, versions: tuple[str, ...]) -> Resource | None:
        """A kind in the first of the versions that is served; None where there is none."""
        for version in versions:
            try:
                return await self._kube.resource_of({"apiVersion": f"{group}/{version}", "kind": kind})
            except Invalid:
                continue
        return None

    @asynccontextmanager
    async def _speaking(self) -> AsyncIterator[None]:
        """What the API server refuses, as `ProviderError`. The one thing that it does not find is the CRD."""
        try:
            yield
        except NotFound as error:
            text = NO_CLAIMS.format(brought_by=self._class.brought_by)
            raise Unfit(FailureCode.NOT_FOUND, text) from error
        except KubeError as error:
            raise refusal(error) from error


def _machine(node: JsonObject) -> str:
    return dig_str(node, "metadata", "labels", MACHINE)


async def make(context: Context) -> KarpenterProvider:
    """For the registry. Raises ValidationError for settings that name no node class."""
    return KarpenterProvider(context.kube, context.nodes, KarpenterSettings().chosen())
