"""Lets fake machines boot, and keeps their nodes alive in the eyes of the node lifecycle controller."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from services.chassis.kube import (
    LEASES,
    NODES,
    Conflict,
    JsonObject,
    KubeClient,
    KubeError,
    NotFound,
    ObjectRef,
    dig_str,
)
from services.provisioner.nodes import Nodes
from services.provisioner.providers.fake.node import (
    INSTANCE_TYPE,
    Courses,
    booted_status,
    failing_status,
)
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.skus import Sku

log = logging.getLogger(__name__)

LEASE_NAMESPACE: Final = "kube-node-lease"
TICK: Final = 0.25
AT_ONCE: Final = 16
BOOTING: Final = 30.0
"""Seconds between two renewals while a machine boots. Kubernetes takes a node for dead after 40 s."""


class Keeper:
    """One task for all nodes. A second process that does the same writes the same."""

    def __init__(self, kube: KubeClient, nodes: Nodes, skus: Mapping[str, Sku], settings: FakeSettings) -> None:
        self._kube = kube
        self._nodes = nodes
        self._skus = skus
        self._every = settings.heartbeat_seconds
        self._courses = Courses()
        self._renewed: dict[str, float] = {}
        self._leased: set[str] = set()
        """The nodes whose lease is known to be there."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = datetime.now(UTC)
            courses = self._courses.of(self._nodes.named())
            booting = {name for name, course in courses.items() if course.is_booting(now)}
            await _each(self._boot, [course.node for course in courses.values() if course.is_due(now)])
            await _each(self._fail, [course.node for course in courses.values() if course.is_failing(now)])
            await _each(self._renew, self._stale({name: c.node for name, c in courses.items()}, booting))
            await asyncio.sleep(TICK)

    async def _boot(self, node: JsonObject) -> None:
        """Give the node its capacity and make it Ready; so too when it was taken for dead while nobody kept it.

        Its first lease may come a little later: the node lifecycle controller also goes by the status' own times.
        """
        name = dig_str(node, "metadata", "name")
        sku = self._skus.get(dig_str(node, "metadata", "labels", INSTANCE_TYPE).lower())
        status = booted_status(node, sku, datetime.now(UTC))
        booted = await self._kube.merge_patch(ObjectRef(NODES, name), {"status": status}, subresource="status")
        self._nodes.notice(booted)

    async def _fail(self, node: JsonObject) -> None:
        ref = ObjectRef(NODES, dig_str(node, "metadata", "name"))
        status = failing_status(datetime.now(UTC))
        self._nodes.notice(await self._kube.merge_patch(ref, {"status": status}, subresource="status"))

    def _stale(self, nodes: Mapping[str, JsonObject], booting: Set[str]) -> list[JsonObject]:
        """The nodes whose lease is due, at most so many that they spread over the period by themselves.

        One that boots has no more to say than that it is there, and nothing at all when it was just made.
        """
        self._renewed = {name: at for name, at in self._renewed.items() if name in nodes}
        self._leased &= nodes.keys()
        clock = time.monotonic()
        for name in booting:
            self._renewed.setdefault(name, clock)
        ends = {name: self._renewed.get(name, 0.0) + (BOOTING if name in booting else self._every) for name in nodes}
        due = sorted((end, name) for name, end in ends.items() if end <= clock)
        share = 1 + int(2 * TICK * len(nodes) / self._every)
        return [nodes[name] for _, name in due[:share]]

    async def _renew(self, node: JsonObject) -> None:
        name = dig_str(node, "metadata", "name")
        self._renewed[name] = time.monotonic()
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        ref = ObjectRef(LEASES, name, LEASE_NAMESPACE)
        if name in self._leased:
            with suppress(NotFound):
                await self._kube.merge_patch(ref, {"spec": spec})
                return
        try:
            await self._kube.create(LEASES, _lease(node, name, spec))
        except Conflict:
            await self._kube.merge_patch(ref, {"spec": spec})
        self._leased.add(name)


def _lease(node: JsonObject, name: str, spec: JsonObject) -> JsonObject:
    """As a kubelet makes it: owned by the node, so that it goes with it whatever happens."""
    uid = dig_str(node, "metadata", "uid")
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": spec,
    }


async def _each(work: Callable[[JsonObject], Awaitable[None]], nodes: Iterable[JsonObject]) -> None:
    """Do the work for all, some at a time. What fails is tried again with the next tick."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(node: JsonObject) -> None:
        async with slots:
            try:
                await work(node)
            except KubeError as error:
                log.debug("a fake node could not be written: %s", error)

    await asyncio.gather(*(one(node) for node in nodes))
