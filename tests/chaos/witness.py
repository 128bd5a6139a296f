"""Watches the cluster from the side, so that a test can say what must never have happened in between."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing

from services.chassis.kube import (
    STATEFULSETS,
    WORKSPACES,
    JsonObject,
    KubeClient,
    ListWatch,
    Upsert,
    dig_int,
    dig_str,
)
from services.contracts.workspace import LABEL_OWNER_UID


class Witness:
    """All StatefulSets that were ever there, and what each Workspace's status ever said, by the Workspace's uid."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self.stateful_sets: dict[str, set[str]] = defaultdict(set)
        """The uids of the StatefulSets of each Workspace."""
        self.revisions: dict[str, set[int]] = defaultdict(set)
        """The plan revisions of each Workspace."""
        self.observed: dict[str, list[int]] = defaultdict(list)
        """Each Workspace's observedGeneration, in the order in which it was seen."""

    async def watch(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_stateful_sets())
            group.create_task(self._watch_workspaces())

    async def _watch_stateful_sets(self) -> None:
        async with aclosing(ListWatch(self._kube, STATEFULSETS).events()) as events:
            async for event in events:
                if isinstance(event, Upsert):
                    owner = dig_str(event.obj, "metadata", "labels", LABEL_OWNER_UID)
                    self.stateful_sets[owner].add(dig_str(event.obj, "metadata", "uid"))

    async def _watch_workspaces(self) -> None:
        async with aclosing(ListWatch(self._kube, WORKSPACES).events()) as events:
            async for event in events:
                if isinstance(event, Upsert):
                    self._note(dig_str(event.obj, "metadata", "uid"), event.obj)

    def _note(self, uid: str, workspace: JsonObject) -> None:
        if revision := dig_int(workspace, "status", "plan", "revision"):
            self.revisions[uid].add(revision)
        generation = dig_int(workspace, "status", "observedGeneration") or 0
        if self.observed[uid][-1:] != [generation]:
            self.observed[uid].append(generation)
