"""Garbage collection: machines and nodes whose workspace is gone without the loop having been told to let go.

It works only while all that it relies on answers, and some time after: absence proves nothing during an outage.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus
from services.chassis.cancellation import raise_if_cancelled
from services.chassis.key_locks import KeyLocks
from services.chassis.kube import WORKSPACES, JsonObject, Key, KubeClient, KubeError, ObjectRef
from services.contracts.errors import ProviderError
from services.contracts.messages import Demand
from services.contracts.subjects import demand as demand_subject
from services.provisioner.node_facts import facts
from services.provisioner.nodes import Nodes
from services.provisioner.orphans import Candidate, Sightings, candidates, is_orphan
from services.provisioner.provider import Owner, Provider
from services.provisioner.settings import ProvisionerSettings

log = logging.getLogger(__name__)


class Collector:
    """One look every so often. It goes by the workspaces in Kubernetes, and by the bus only to keep more."""

    def __init__(
        self,
        bus: Bus,
        kube: KubeClient,
        provider: Provider,
        nodes: Nodes,
        locks: KeyLocks,
        settings: ProvisionerSettings,
    ) -> None:
        self._bus = bus
        self._kube = kube
        self._provider = provider
        self._nodes = nodes
        self._locks = locks
        self._every = settings.collect_seconds
        self._settle = settings.settle_seconds
        self._sightings = Sightings(timedelta(seconds=settings.grace_seconds))
        self._well_since = float("inf")

    async def run(self, connected: asyncio.Event) -> None:
        """Look until cancelled."""
        await connected.wait()
        while True:
            raise_if_cancelled()
            try:
                await self._look()
            except (KubeError, ProviderError, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
                self._well_since = float("inf")
                self._sightings.forget()
                log.info("nothing is collected for now: %s", error)
            await asyncio.sleep(self._every)

    async def _look(self) -> None:
        """One look: who is an orphan now, and was the last time, too."""
        workspaces = await self._workspaces()
        if not (self._nodes.synced and self._nodes.is_fresh() and self._bus.connected):
            raise TimeoutError("not everything is known yet")
        self._well_since = min(self._well_since, time.monotonic())
        if time.monotonic() - self._well_since < self._settle:
            return
        nodes = [facts(node) for node in self._nodes.all()] if self._provider.owns_nodes else []
        found = candidates(await self._provider.list(), nodes)
        orphans = [c for c in found if await self._is_orphan(c.owner, workspaces.get(c.owner.key))]
        for orphan in self._sightings.confirm(orphans, datetime.now(UTC)):
            await self._take_down(orphan)

    async def _workspaces(self) -> Mapping[Key, JsonObject]:
        """By a list, which fails where the resource itself is missing; single reads would find nothing."""
        found = await self._kube.list(WORKSPACES)
        return {ObjectRef.of(WORKSPACES, item).key: item for item in found.items}

    async def _is_orphan(self, owner: Owner, workspace: JsonObject | None) -> bool:
        if not is_orphan(owner, self._provider.name, workspace, None):
            return False
        demand = await self._bus.newest(Demand, self._subject(owner))
        return is_orphan(owner, self._provider.name, workspace, demand)

    async def _take_down(self, orphan: Candidate) -> None:
        """Look once more, under the workspace's lock, then let go, and drop the demand that would bring it back."""
        owner = orphan.owner
        async with self._locks.hold(owner.key):
            workspace = await self._kube.get(ObjectRef(WORKSPACES, owner.name, owner.namespace))
            if not await self._is_orphan(owner, workspace):
                return
            log.warning("collecting what nobody wants", extra={"machine": orphan.name, "owner": owner.uid})
            # One that lets go brings nothing back: perhaps it has just come, and who sent it waits for the answer.
            await self._bus.forget(Demand, self._subject(owner), owner.uid, lambda demand: demand.nodes > 0)
            if orphan.instance:
                await self._provider.delete(orphan.instance)
            else:
                await self._nodes.remove(orphan.name)

    def _subject(self, owner: Owner) -> str:
        return demand_subject(self._provider.name, owner.namespace, owner.name)
