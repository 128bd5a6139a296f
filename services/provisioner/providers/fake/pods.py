"""Walks the pods on fake machines through their life, as a kubelet would."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from services.chassis.kube import (
    PODS,
    Deleted,
    JsonObject,
    Key,
    KubeClient,
    KubeError,
    ListWatch,
    NotFound,
    ObjectRef,
    Upsert,
    dig_str,
)
from services.provisioner.nodes import Nodes
from services.provisioner.providers.fake.node import is_machine
from services.provisioner.providers.fake.pod_life import is_over, next_step
from services.provisioner.providers.fake.settings import FakeSettings

log = logging.getLogger(__name__)

TICK: Final = 0.25
AT_ONCE: Final = 16
RETRY: Final = 1.0


class PodWalker:
    """One watch of all pods that have a node, one task for all that are not at rest."""

    def __init__(self, kube: KubeClient, nodes: Nodes, pace: FakeSettings, machines: str = "fake-") -> None:
        self._kube = kube
        self._nodes = nodes
        self._pace = pace
        self._machines = machines
        self._watch = ListWatch(kube, PODS, fields="spec.nodeName!=")
        self._due: dict[Key, float] = {}

    def is_fresh(self) -> bool:
        """Whether the API server was heard from recently."""
        return self._watch.is_fresh()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._walk())

    async def _follow(self) -> None:
        async with aclosing(self._watch.events()) as events:
            async for event in events:
                if isinstance(event, Deleted):
                    self._due.pop(event.ref.key, None)
                elif isinstance(event, Upsert) and _is_candidate(event.obj, self._machines):
                    going = bool(dig_str(event.obj, "metadata", "deletionTimestamp"))
                    self._due[event.ref.key] = 0.0 if going else self._due.get(event.ref.key, 0.0)

    async def _walk(self) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        while True:
            now = time.monotonic()
            due = [key for key, at in self._due.items() if at <= now]
            await asyncio.gather(*(self._step(key, slots) for key in due))
            await asyncio.sleep(TICK)

    async def _step(self, key: Key, slots: asyncio.Semaphore) -> None:
        pod = self._watch.objects.get(key)
        if pod is None:
            self._due.pop(key, None)
            return
        node = self._nodes.known(dig_str(pod, "spec", "nodeName"))
        if node is None or not is_machine(node):
            self._due[key] = time.monotonic() + RETRY
            return
        async with slots:
            try:
                after = await self._advance(pod)
            except KubeError as error:
                log.debug("a pod on a fake node could not be written: %s", error)
                after = None if isinstance(error, NotFound) else RETRY
        if after is None:
            self._due.pop(key, None)
        else:
            # At least until the watch has told what was written.
            self._due[key] = time.monotonic() + max(after, TICK)

    async def _advance(self, pod: JsonObject) -> float | None:
        """One step; returns the seconds until the next, or None if there is none."""
        ref = ObjectRef.of(PODS, pod)
        if dig_str(pod, "metadata", "deletionTimestamp"):
            await self._kube.delete(ref, grace_seconds=0, uid=dig_str(pod, "metadata", "uid"))
            return None
        step = next_step(pod, datetime.now(UTC), self._pace)
        if step.status is not None:
            await self._kube.merge_patch(ref, {"status": step.status}, subresource="status")
        return step.after


def _is_candidate(pod: JsonObject, machines: str) -> bool:
    """Whether a pod may be on one of our machines and is not at its end. Machines are named after the provider."""
    going = bool(dig_str(pod, "metadata", "deletionTimestamp"))
    return dig_str(pod, "spec", "nodeName").startswith(machines) and (going or not is_over(pod))
