"""The workspaces of one test, the moments on their way, and what must hold of them in the end."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from services.chassis.kube import (
    NODES,
    PODS,
    SERVICES,
    STATEFULSETS,
    WORKSPACES,
    JsonObject,
    ObjectRef,
    Resource,
    dig_int,
    dig_str,
)
from services.contracts.conditions import ConditionType
from services.contracts.status import State, WorkspaceStatus
from services.contracts.subjects import PREFIX, Stream
from services.contracts.workspace import LABEL_OWNER_UID, LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from tests.chaos.witness import Witness
from tests.stack import Stack, until, until_none

NEWEST = (Stream.WORKSPACES, Stream.PLANS, Stream.DEMANDS, Stream.REPORTS)


class Moment(StrEnum):
    """A point on a workspace's way that a test can wait for."""

    APPLIED = "applied"
    PLANNED = "planned"
    BOOTING = "booting"
    STARTING = "starting"
    READY = "ready"


def manifest(name: str, *, instance_type: str | None = "Standard_NC24ads_A100_v4", **annotations: str) -> JsonObject:
    """A workspace on one simulated GPU machine; `fail="..."` becomes the annotation fake.kaito.sh/fail."""
    resource: JsonObject = {"labelSelector": {"matchLabels": {"apps": name}}}
    if instance_type:
        resource["instanceType"] = instance_type
    marks = {f"fake.kaito.sh/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": WORKSPACES.api_version,
        "kind": "Workspace",
        "metadata": {"name": name, "annotations": {"kaito.sh/provider": "fake", **marks}},
        "resource": resource,
        "inference": {"preset": {"name": "phi-4-mini-instruct"}},
    }


class Cast:
    """Workspaces of one namespace."""

    def __init__(self, stack: Stack, witness: Witness, namespace: str) -> None:
        self.stack = stack
        self.witness = witness
        self.namespace = namespace

    # -- what is done

    async def create(self, *manifests: JsonObject) -> None:
        """Create them all at once."""
        await asyncio.gather(*(self._create(one) for one in manifests))

    async def _create(self, one: JsonObject) -> None:
        metadata = {**_object(one["metadata"]), "namespace": self.namespace}
        await self.stack.kube.create(WORKSPACES, {**one, "metadata": metadata})

    async def delete(self, *names: str) -> None:
        """Ask for their deletion."""
        refs = [ObjectRef(WORKSPACES, name, self.namespace) for name in names]
        await asyncio.gather(*(self.stack.kube.delete(ref) for ref in refs))

    async def delete_all(self) -> None:
        """Ask for the deletion of all that are there."""
        await self.delete(*[dig_str(w, "metadata", "name") for w in await self._workspaces()])

    # -- what is there

    async def status(self, name: str) -> WorkspaceStatus:
        """The status of one of them."""
        return await self.stack.status(name, self.namespace)

    async def uid(self, name: str) -> str:
        """The uid of one of them."""
        return dig_str(await self.stack.workspace(name, self.namespace), "metadata", "uid")

    async def is_gone(self, name: str) -> bool:
        """Whether there is no such workspace any more."""
        return await self.stack.workspace(name, self.namespace) is None

    async def some_are_deployed(self) -> bool:
        """Whether one of them has a workload."""
        return bool(await self._owned(STATEFULSETS))

    async def reach(self, moment: Moment, *names: str) -> None:
        """Wait until each has come so far, or further."""
        for name in names:
            await until(lambda name=name: self._has_reached(moment, name), what=f"{name}: {moment}")  # type: ignore[misc]

    async def _has_reached(self, moment: Moment, name: str) -> bool:
        if moment is Moment.APPLIED:
            return bool(await self.uid(name))
        if moment is Moment.PLANNED:
            return (await self.status(name)).plan is not None
        if moment is Moment.READY:
            return await self._is_ready(name)
        label = f"{LABEL_OWNER_UID}={await self.uid(name)}"
        resource = NODES if moment is Moment.BOOTING else PODS
        found = (await self.stack.kube.list(resource, labels=label)).items
        return any(resource is NODES or dig_str(pod, "spec", "nodeName") for pod in found)

    async def _is_ready(self, name: str) -> bool:
        status = await self.status(name)
        return status.is_true(ConditionType.WORKSPACE_READY) and status.state is State.SIMULATED

    async def _workspaces(self) -> list[JsonObject]:
        return (await self.stack.kube.list(WORKSPACES, namespace=self.namespace)).items

    async def _owned(self, resource: Resource) -> list[JsonObject]:
        """The objects of this namespace's workspaces; nodes have no namespace, but carry it as a label."""
        if resource is NODES:
            label = f"{LABEL_WORKSPACE_NAMESPACE}={self.namespace}"
            return (await self.stack.kube.list(resource, labels=label)).items
        return (await self.stack.kube.list(resource, namespace=self.namespace, labels=LABEL_WORKSPACE)).items

    # -- what must hold

    async def all_converge(self, *names: str, revision: int = 1) -> None:
        """Each is ready, was planned once and deployed once, has its nodes, and nobody has more."""
        await self.reach(Moment.READY, *names)
        for name in names:
            await self._was_deployed_once(name, revision)
        await until(self._nodes_match, what="as many nodes as demanded")

    async def _was_deployed_once(self, name: str, revision: int) -> None:
        uid = await self.uid(name)
        await until(lambda: self._is_witnessed(uid), what="the witness's word")
        assert len(self.witness.stateful_sets[uid]) == 1, f"{name} was deployed more than once"
        assert max(self.witness.revisions[uid]) == revision, f"{name}: revisions {self.witness.revisions[uid]}"
        observed = self.witness.observed[uid]
        assert observed == sorted(observed), f"{name}: observedGeneration went {observed}"

    async def _is_witnessed(self, uid: str) -> bool:
        return bool(self.witness.stateful_sets[uid] and self.witness.revisions[uid])

    async def _nodes_match(self) -> bool:
        demanded = [dig_int(w, "status", "plan", "nodes") or 0 for w in await self._workspaces()]
        return len(await self._owned(NODES)) == sum(demanded)

    async def nothing_is_left(self) -> None:
        """No Workspace (and so no finalizer), no workload, no node, and no message that would bring one back."""
        await until_none(self.leftovers)

    async def leftovers(self) -> list[str]:
        """What is left, in words: Workspaces; without them, what belonged to them; and in the end messages."""
        left = [f"Workspace {dig_str(w, 'metadata', 'name')}" for w in await self._workspaces()]
        for resource in (STATEFULSETS, SERVICES, PODS, NODES):
            left = left or [f"{resource.kind} {dig_str(o, 'metadata', 'name')}" for o in await self._owned(resource)]
        return left or await self._messages()

    async def _messages(self) -> list[str]:
        async with self.stack.jetstream() as js:
            infos = [await js.stream_info(stream, subjects_filter=f"{PREFIX}.>") for stream in NEWEST]
        subjects = [subject for info in infos for subject in info.state.subjects or {}]
        return [subject for subject in subjects if subject.split(".")[-2] == self.namespace]


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}
