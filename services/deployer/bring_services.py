"""Brings the Services of a plan into the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from services.chassis.kube import SERVICES, Conflict, JsonObject, KubeClient, ObjectRef, take_over
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.names import check_owner, is_free

AT_ONCE: Final = 2
"""The API server gives out cluster addresses from one record. Asked for many at once, it tries again and again."""
STRANGERS_FOR: Final = 1.0
"""Seconds for which a list of a namespace's other Services serves all workspaces in it."""


class Services:
    """They are made after the workload. But it is not started where a name of theirs is somebody else's."""

    def __init__(self, kube: KubeClient, manager: str) -> None:
        self._kube = kube
        self._manager = manager
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._listing = asyncio.Lock()
        self._strangers: dict[str, tuple[float, dict[ObjectRef, JsonObject]]] = {}

    async def check(self, wanted: Sequence[JsonObject]) -> None:
        """Raises Invalid if a name is somebody else's. In a burst one list serves all: to get each costs as much as
        a tenth of what the workloads cost.
        """
        for ref in (ObjectRef.of(SERVICES, service) for service in wanted):
            if found := (await self._others(ref.namespace or "")).get(ref):
                check_owner(ref, found)

    async def _others(self, namespace: str) -> dict[ObjectRef, JsonObject]:
        """The namespace's Services that are of no Workspace, as they were a moment ago."""
        async with self._listing:
            now = asyncio.get_running_loop().time()
            self._strangers = {key: kept for key, kept in self._strangers.items() if now - kept[0] <= STRANGERS_FOR}
            if namespace not in self._strangers:
                found = await self._kube.list(SERVICES, namespace=namespace, labels=f"!{LABEL_OWNER_UID}")
                self._strangers[namespace] = (now, {ObjectRef.of(SERVICES, obj): obj for obj in found.items})
            return self._strangers[namespace][1]

    async def bring(self, wanted: Sequence[JsonObject], uid: str) -> bool:
        """Make them, or bring them to the plan. False while a name is not free. Raises Invalid as `check` does."""
        async with self._at_once:
            try:
                return all([await self._brought(service, uid) for service in wanted])
            except Conflict:
                return False  # it has changed hands, or has just been changed

    async def _brought(self, service: JsonObject, uid: str) -> bool:
        """A create does not touch what somebody else has made in between; an apply would."""
        ref = ObjectRef.of(SERVICES, service)
        there = await self._kube.get(ref)
        if there is None:
            await self._kube.create(SERVICES, service, manager=self._manager)
            return True
        if not await is_free(self._kube, ref, there, uid):
            return False
        await take_over(self._kube, ref, there, manager=self._manager)
        await self._kube.apply(service, manager=self._manager)
        return True
