"""Brings StatefulSets into the cluster and to their plans, unless that is an upgrade and must wait for its turn."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from services.chassis.kube import STATEFULSETS, Conflict, JsonObject, KubeClient, ObjectRef, take_over
from services.chassis.lull import Lull
from services.contracts.messages import PlanState
from services.deployer.names import is_free
from services.deployer.rollout import digests, marked, marks
from services.deployer.turns import Turns

MANAGER: Final = "kaitobus-deployer"
AT_ONCE: Final = 16


class Workloads:
    """Without `turns` an upgrade waits for nobody. `lull` is hurried by each that is made."""

    def __init__(self, kube: KubeClient, lull: Lull, turns: Turns | None = None) -> None:
        self._kube = kube
        self._lull = lull
        self._turns = turns
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def waits(self, state: PlanState) -> bool:
        """Whether a newer template waits for its turn."""
        return self._turns is not None and self._turns.waits(state.key)

    def is_due(self, state: PlanState, workload: JsonObject) -> bool:
        """Whether the one in the cluster is of another template, and need not wait to be changed."""
        return self._turns is not None and self._turns.is_due(state, workload)

    async def ensure(self, state: PlanState, workload: JsonObject) -> bool:
        """Make it, or bring what is there to it. False while the name is not free. Raises KubeError."""
        async with self._at_once:
            return await self._created(state, workload) or await self._changed(state, workload)

    async def _created(self, state: PlanState, workload: JsonObject) -> bool:
        """Make the workload, unless there is one of that name: mostly there is none, and to ask costs as much again."""
        self._lull.hurry()
        try:
            await self._kube.create(STATEFULSETS, marked(workload, digests(state, workload)), manager=MANAGER)
        except Conflict:
            return False
        finally:
            self._lull.hurry()
        return True

    async def _changed(self, state: PlanState, workload: JsonObject) -> bool:
        """Bring the workload that is there to the plan. False if it is an earlier workspace's, on its way out.

        Raises Invalid if it is somebody else's.
        """
        ref = ObjectRef(STATEFULSETS, state.name, state.namespace)
        found, wanted = await self._kube.get(ref), digests(state, workload)
        if not await is_free(self._kube, ref, found, state.uid):
            return False
        if found and self._turns and not self._turns.may_change(state.key, found, wanted):
            return True
        if found:
            await take_over(self._kube, ref, found, manager=MANAGER)
        await self._kube.apply(marked(workload, marks(found, wanted, datetime.now(UTC))), manager=MANAGER)
        return True
