"""The cluster's own nodes as a cloud: to create a machine is to claim a free node, to delete it is to give it back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from services.chassis.kube import NODES, Conflict, JsonObject, KubeClient, KubeError, ObjectRef, dig_dicts, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.nodes import MANAGER, Nodes
from services.provisioner.provider import Instance, InstanceSpec, Key, Owner
from services.provisioner.providers.byo.choice import choose, offers, unreadable
from services.provisioner.providers.byo.claims import (
    Claim,
    claiming,
    claims_of,
    giving_back,
    instance_of,
    new_claim,
    owners_of,
)
from services.provisioner.providers.cluster_errors import refusal
from services.provisioner.registry import Context

log = logging.getLogger(__name__)

NOBODY: Final[Key] = ("", "")
"""Under this key the nodes are kept that carry no one workspace's labels: those that are shared."""
TRIES: Final = 10
"""A node's status changes every few seconds, which makes a compare-and-set lose without anybody having taken it."""


class ByoProvider:
    """Existing nodes with GPUs, whole or shared. Which node is whose is written on the node, by compare-and-set.

    A claimed node gets the demand's labels and taints, and ours. One that was found by the demand's labels has those
    already; a preferred node need not have them, and has them for as long as it is claimed, since the workload is
    pinned to them. To give back restores what the claim has changed, and nothing else.
    """

    name = "byo"
    simulated = False
    owns_nodes = False

    def __init__(self, kube: KubeClient, nodes: Nodes) -> None:
        self._kube = kube
        self._nodes = nodes
        nodes.owners = owners_of
        self._unreadable: tuple[str, ...] = ()
        self._turn = asyncio.Lock()
        """Claims of this process follow each other: side by side they would all try for the same node."""

    async def offers(self) -> tuple[Offer, ...]:
        """The sizes of all nodes with GPUs, and how many of each are free."""
        async with _speaking():
            nodes = (await self._kube.list(NODES)).items
        blind = unreadable(nodes)
        if blind != self._unreadable:
            log.warning(
                "GPUs that do not say which they are: is GPU Feature Discovery installed?", extra={"nodes": blind}
            )
            self._unreadable = blind
        return offers(nodes)

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The claimed nodes, from the watch and this process's own writes."""
        nodes = self._nodes.all() if workspace is None else (*self._nodes.of(workspace), *self._nodes.of(NOBODY))
        found_claims = ((claim, node) for node in nodes for claim in claims_of(node))
        claims = [pair for pair in found_claims if workspace in (None, pair[0].owner.key)]
        found: list[Instance] = []
        machines: set[tuple[str, Owner]] = set()
        for claim, node in sorted(claims, key=_first):
            # Two nodes for one machine, claimed by two processes at the same moment: the later one has another name,
            # nobody wants a machine of that name, and so it is given back.
            found.append(instance_of(node, claim, extra=(claim.machine, claim.owner) in machines))
            machines.add((claim.machine, claim.owner))
        return tuple(found)

    async def watch(self, _changed: Callable[[Key], None], /) -> None:
        """Nothing to do: machines are nodes, and the loop watches those."""
        await asyncio.Event().wait()

    async def create(self, spec: InstanceSpec) -> Instance:
        """Claim a node, or find the one that was claimed for the machine before."""
        async with self._turn, _speaking():
            for _ in range(TRIES):
                nodes = (await self._kube.list(NODES)).items
                try:
                    node = _claimed(nodes, spec) or await self._claim(choose(nodes, spec), spec)
                except Conflict:
                    continue
                self._nodes.remember(node)
                claim = _claim_by(node, spec.owner)
                if claim is None:
                    break
                return instance_of(node, claim)
        text = f"no node could be claimed: {TRIES} times in a row somebody else wrote to it at the same moment"
        raise ProviderError(FailureCode.INTERNAL, text)

    async def _claim(self, node: JsonObject, spec: InstanceSpec) -> JsonObject:
        claim = new_claim(node, spec, datetime.now(UTC))
        return await self._kube.merge_patch(ObjectRef.of(NODES, node), claiming(node, claim))

    async def delete(self, instance: Instance) -> None:
        """Give the node back. One that is gone, or has been given to somebody else by now, is left alone."""
        async with _speaking():
            for _ in range(TRIES):
                node = await self._kube.get(ObjectRef(NODES, instance.id))
                claim = _claim_by(node, instance.owner) if node else None
                if node is None or claim is None:
                    self._note(instance.id, node)
                    return
                try:
                    self._note(instance.id, await self._give_back(node, claim))
                except Conflict:
                    continue
                return
        raise ProviderError(
            FailureCode.INTERNAL, f"node {instance.id} could not be given back: it changes all the time"
        )

    def _note(self, name: str, node: JsonObject | None) -> None:
        """What is known of a node after one of its claims has gone: it stays ours while others have a share in it."""
        self._nodes.forget(name)
        if node and claims_of(node):
            self._nodes.remember(node)

    async def _give_back(self, node: JsonObject, claim: Claim) -> JsonObject:
        """First what the loop has put on the node beside the claim, while the node is still ours; then the claim."""
        writers = {dig_str(entry, "manager") for entry in dig_dicts(node, "metadata", "managedFields")}
        if MANAGER in writers and len(claims_of(node)) == 1:
            metadata = {"name": dig_str(node, "metadata", "name"), "uid": dig_str(node, "metadata", "uid")}
            bare: JsonObject = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
            node = await self._kube.apply(bare, manager=MANAGER)
        return await self._kube.merge_patch(ObjectRef.of(NODES, node), giving_back(node, claim))


def _claim_by(node: JsonObject, owner: Owner) -> Claim | None:
    """The owner's claim on a node."""
    return next((claim for claim in claims_of(node) if claim.owner == owner), None)


def _claimed(nodes: list[JsonObject], spec: InstanceSpec) -> JsonObject | None:
    """The node that is the machine already."""
    all_claims = ((claim, node) for node in nodes for claim in claims_of(node))
    claims = [(c, node) for c, node in all_claims if (c.machine, c.owner) == (spec.name, spec.owner)]
    return min(claims, key=_first)[1] if claims else None


def _first(claimed: tuple[Claim, JsonObject]) -> tuple[datetime, str]:
    claim, node = claimed
    return (claim.claimed_at, dig_str(node, "metadata", "name"))


@asynccontextmanager
async def _speaking() -> AsyncIterator[None]:
    """What the API server refuses, as `ProviderError`; a lost compare-and-set is handled before."""
    try:
        yield
    except KubeError as error:
        raise refusal(error) from error


async def make(context: Context) -> ByoProvider:
    """For the registry."""
    return ByoProvider(context.kube, context.nodes)
