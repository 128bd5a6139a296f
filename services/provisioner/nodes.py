"""The Node objects of one provider, from list and watch, and the few writes that the loop makes on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Final

from services.chassis.kube import (
    NODES,
    JsonObject,
    KubeClient,
    ListWatch,
    ObjectRef,
    Synced,
    Upsert,
    dig_dicts,
    dig_str,
)
from services.contracts.workspace import LABEL_PROVIDER
from services.provisioner.node_facts import NodeFacts, facts, taint_object, workspace_of
from services.provisioner.provider import Key

MANAGER: Final = "kaitobus-provisioner"
OWN_TAINTS: Final = "node.kubernetes.io/"
"""How the taints begin that the node lifecycle controller puts on nodes, and takes away."""


class Nodes:
    """What is known of the nodes that carry the provider's label, by name and by workspace.

    What this process writes is known at once; what others do, as soon as the watch tells.
    """

    def __init__(self, kube: KubeClient, provider: str, *, resync_seconds: float = 600.0) -> None:
        self._kube = kube
        self._watch = ListWatch(kube, NODES, labels=f"{LABEL_PROVIDER}={provider}", resync_seconds=resync_seconds)
        self._by_name: dict[str, JsonObject] = {}
        self._by_workspace: dict[Key, set[str]] = {}
        self.changed: Callable[[Key], None] = _nobody
        """Called with the workspace whose node came, went or is not as it was."""
        self.owners: Callable[[JsonObject], Iterable[Key]] = _one_owner
        """Whose a node is. A provider whose nodes several may share says so itself."""

    @property
    def synced(self) -> bool:
        """Whether all nodes have been listed once. Before that nothing must be concluded from absence."""
        return self._watch.synced

    def is_fresh(self) -> bool:
        """Whether the API server was heard from recently."""
        return self._watch.is_fresh()

    async def run(self) -> None:
        """Follow the nodes until cancelled."""
        async with aclosing(self._watch.events()) as events:
            async for event in events:
                if not isinstance(event, Synced):
                    self.notice(event.obj, gone=not isinstance(event, Upsert))

    def notice(self, node: JsonObject, *, gone: bool = False) -> None:
        """Take in what befell a node, and say so if it is not as it was.

        Whoever acts a machine uses this for what he writes: the watch brings nothing new after it.
        """
        name = dig_str(node, "metadata", "name")
        before = self._by_name.get(name)
        if gone:
            self.forget(name)
        else:
            self.remember(node)
        # What a pass itself has deleted is gone only now, and no news by what is known.
        news = gone or before is None or _is_other(before, node)
        for key in self.owners(node) if self.synced and news else ():
            self.changed(key)

    def all(self) -> Iterable[JsonObject]:
        """All nodes of the provider."""
        return tuple(self._by_name.values())

    def named(self) -> Mapping[str, JsonObject]:
        """All nodes of the provider, by name. One that is not as it was is another object."""
        return self._by_name

    def of(self, workspace: Key) -> tuple[JsonObject, ...]:
        """The nodes of one workspace."""
        return tuple(self._by_name[name] for name in sorted(self._by_workspace.get(workspace, ())))

    def known(self, name: str) -> JsonObject | None:
        """The node of that name, if it carries the provider's label."""
        return self._by_name.get(name)

    async def read(self, name: str) -> NodeFacts | None:
        """The node of that name, asked for where it is not known: one that joins bare has no label yet."""
        node = self._by_name.get(name) or await self._kube.get(ObjectRef(NODES, name))
        return facts(node) if node else None

    async def mark(self, node: NodeFacts, labels: Mapping[str, str], taints: tuple[str, ...]) -> NodeFacts:
        """Put labels and missing taints on a node. Raises `KubeError`.

        Taints are one list for all writers, so they are added by compare-and-set: to apply them would take
        away those of the node lifecycle controller. With the uid, apply does not create a node that is gone.
        """
        ref = ObjectRef(NODES, node.name)
        metadata = {"name": node.name, "uid": node.uid, "labels": dict(labels)}
        found = await self._kube.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": metadata}, manager=MANAGER, force=True
        )
        if missing := facts(found).missing_taints(taints):
            all_taints = [*dig_dicts(found, "spec", "taints"), *(taint_object(text) for text in missing)]
            version = {"resourceVersion": dig_str(found, "metadata", "resourceVersion")}
            found = await self._kube.merge_patch(ref, {"metadata": version, "spec": {"taints": all_taints}})
        self.remember(found)
        return facts(found)

    async def remove(self, name: str) -> None:
        """Delete a Node object; one that is gone is no error. Raises `KubeError`.

        The watch tells nothing new of it afterwards, so whoever waits for changes is told here.
        """
        node = self._by_name.get(name)
        await self._kube.delete(ObjectRef(NODES, name))
        self.forget(name)
        if node and all(key := workspace_of(node)):
            self.changed(key)

    def remember(self, node: JsonObject) -> None:
        """Take in a node that was read or written, by one who knows what to do about it."""
        name = dig_str(node, "metadata", "name")
        self.forget(name)
        self._by_name[name] = node
        self._by_workspace.setdefault(workspace_of(node), set()).add(name)

    def forget(self, name: str) -> None:
        """Take note that a node is gone."""
        node = self._by_name.pop(name, None)
        if node is None:
            return
        key = workspace_of(node)
        names = self._by_workspace[key]
        names.discard(name)
        if not names:
            del self._by_workspace[key]


def _is_other(before: JsonObject, node: JsonObject) -> bool:
    """Whether a node is not as it was, in what anything is decided by."""
    version = dig_str(node, "metadata", "resourceVersion")
    if version and version == dig_str(before, "metadata", "resourceVersion"):
        return False
    old, new = facts(before), facts(node)
    return old.model_copy(update={"taints": _of_people(old)}) != new.model_copy(update={"taints": _of_people(new)})


def _of_people(node: NodeFacts) -> tuple[str, ...]:
    """The taints without those by which Kubernetes repeats what the conditions say: it writes up to four times."""
    return tuple(taint for taint in node.taints if not taint.startswith(OWN_TAINTS))


def _one_owner(node: JsonObject) -> Iterable[Key]:
    key = workspace_of(node)
    return (key,) if all(key) else ()


def _nobody(_workspace: Key) -> None:
    """Nobody wants to know."""
