"""The provider `aws`: a managed node group of one node for each machine. EKS keeps the record, this process none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from pydantic import ValidationError

from services.contracts.base import Contract
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.cached import Cached
from services.provisioner.node_facts import NodeFacts, facts
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Deadlines, Instance, InstanceSpec, Key, Owner
from services.provisioner.providers.aws.client import AwsClient
from services.provisioner.providers.aws.errors import IN_USE, MISSING, AwsError
from services.provisioner.providers.aws.nodegroup import (
    NODE_LABEL,
    NodeGroup,
    Status,
    instance_of,
    may_be_ours,
    request,
)
from services.provisioner.providers.aws.offers import RegionOffers
from services.provisioner.providers.aws.settings import AwsSettings
from services.provisioner.registry import Context

PAGE: Final = 100

C = TypeVar("C", bound=Contract)


class _Names(Contract):
    nodegroups: tuple[str, ...]
    next_token: str | None = None


class _Group(Contract):
    nodegroup: NodeGroup


class AwsProvider:
    """One EKS cluster. An account's quota is 30 node groups for each cluster unless AWS has raised it."""

    name = "aws"
    simulated = False
    owns_nodes = True
    deadlines = Deadlines(launch=timedelta(minutes=15), registration=timedelta(minutes=20))
    """EKS calls a group CREATING until its node has joined, and itself gives up after half an hour."""

    def __init__(self, settings: AwsSettings, nodes: Nodes) -> None:
        self._settings = settings
        self._nodes = nodes
        self._client = AwsClient(settings)
        self._offers = RegionOffers(self._client)
        self._names = Cached(self._list_names, settings.list_seconds)
        self._owners: dict[str, Owner] = {}
        self._rests: dict[str, tuple[float, NodeGroup]] = {}

    async def offers(self) -> tuple[Offer, ...]:
        """The GPU sizes that the region sells."""
        return await self._offers.get()

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """Our node groups. EKS lists bare names, so of those whose owner is known only the wanted are looked into.

        A name is derived from its owner's uid, so its owner never changes. That a workspace has none is never said
        from memory: another process may have asked for one since.
        """
        now = time.monotonic()
        found = await self._of(workspace, await self._names.get())
        if workspace and not found:
            found = await self._of(workspace, await self._names.since(now))
        return found

    async def _of(self, workspace: Key | None, listed: Iterable[str]) -> tuple[Instance, ...]:
        names = [name for name in listed if may_be_ours(name)]
        self._owners = {name: owner for name in names if (owner := self._owners.get(name))}
        self._rests = {name: rest for name in names if (rest := self._rests.get(name))}
        wanted = [name for name in names if workspace is None or self._may_belong(name, workspace)]
        found = await asyncio.gather(*(self._seen(name) for name in wanted))
        instances = (self._instance(group) for group in found if group)
        return tuple(i for i in instances if i and workspace in (None, i.owner.key))

    def _may_belong(self, name: str, workspace: Key) -> bool:
        owner = self._owners.get(name)
        return owner is None or owner.key == workspace

    async def _seen(self, name: str) -> NodeGroup | None:
        """A group as EKS describes it, now if it is under way. One at rest was described some seconds ago."""
        until, resting = self._rests.get(name, (0.0, None))
        if resting and time.monotonic() < until:
            return resting
        group = await self._describe(name)
        if group and group.status is Status.ACTIVE and not group.health.issues:
            self._rests[name] = (time.monotonic() + self._settings.rest_seconds, group)
        return group

    async def _list_names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = ()
        query: dict[str, object] = {"clusterName": self._settings.cluster, "maxResults": PAGE}
        while True:
            page = _read(_Names, await self._client.eks("list_nodegroups", **query))
            names += page.nodegroups
            if not page.next_token:
                return names
            query["nextToken"] = page.next_token

    async def create(self, spec: InstanceSpec) -> Instance:
        """Ask for a node group; one that has the name already is adopted if its tags name the same owner."""
        body = request(spec, self._settings, self._offers.vendor(spec.instance_type), datetime.now(UTC))
        try:
            group = _read(_Group, await self._client.eks("create_nodegroup", **body)).nodegroup
        except AwsError as error:
            if error.name != IN_USE:
                raise
            group = await self._adopted(spec, error)
        finally:
            self._names.forget()
        self._owners[spec.name] = spec.owner
        return instance_of(group, spec.owner, self._node(group, spec.owner))

    async def _adopted(self, spec: InstanceSpec, error: AwsError) -> NodeGroup:
        """The group that has the name. EKS says "in use" of a cluster that is busy, too: then there is none."""
        group = await self._describe(spec.name)
        if group is None:
            raise error
        if group.owner != spec.owner:
            text = f"a node group {spec.name} is there, and its tags do not name this workspace: {error.message}"
            raise ProviderError(FailureCode.INTERNAL, text)
        return group

    async def delete(self, instance: Instance) -> None:
        """Ask for the node group to be taken down. Node and machine go with it."""
        try:
            await self._client.eks("delete_nodegroup", **self._named(instance.name))
        except AwsError as error:
            if error.name != MISSING and not (error.name == IN_USE and await self._is_going(instance.name)):
                raise
        finally:
            self._rests.pop(instance.name, None)
            self._names.forget()

    async def run(self) -> None:
        """Nothing to do but to give up the threads at the end."""
        try:
            await asyncio.Event().wait()
        finally:
            self._client.close()

    async def problem(self) -> str | None:
        """What only a person can change: credentials, permissions, the cluster's name."""
        return self._client.standing.problem

    async def _is_going(self, name: str) -> bool:
        group = await self._describe(name)
        return group is None or group.status is Status.DELETING

    async def _describe(self, name: str) -> NodeGroup | None:
        """The group of that name; None if it has gone."""
        try:
            return _read(_Group, await self._client.eks("describe_nodegroup", **self._named(name))).nodegroup
        except AwsError as error:
            if error.name == MISSING:
                return None
            raise

    def _named(self, name: str) -> dict[str, object]:
        return {"clusterName": self._settings.cluster, "nodegroupName": name}

    def _instance(self, group: NodeGroup) -> Instance | None:
        """None for a group without our tags: somebody else's, whatever its name."""
        owner = group.owner
        if owner is None:
            return None
        self._owners[group.nodegroup_name] = owner
        return instance_of(group, owner, self._node(group, owner))

    def _node(self, group: NodeGroup, owner: Owner) -> NodeFacts | None:
        """The newest node with the group's label: one that Auto Scaling has replaced may still be listed."""
        nodes = [facts(node) for node in self._nodes.of(owner.key)]
        own = [node for node in nodes if node.labels.get(NODE_LABEL) == group.nodegroup_name]
        return max(own, key=lambda node: node.created_at or group.created_at, default=None)


def _read(kind: type[C], answer: dict[str, object]) -> C:
    """An answer of EKS. What is none (a proxy's page, say) must not be taken for "there are none"."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise ProviderError(FailureCode.INTERNAL, f"EKS's answer is not understood: {what}") from error


async def make(context: Context) -> AwsProvider:
    """For the registry. Raises pydantic's `ValidationError` for settings that are missing or wrong."""
    return AwsProvider(AwsSettings(), context.nodes)
