"""What the fake cloud has done to whom, so that a scripted fault outlives the process that shows it.

It is kept in ConfigMaps beside the nodes' leases, and only for workspaces that have a script.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from services.chassis.kube import (
    CONFIGMAPS,
    Conflict,
    JsonObject,
    KubeClient,
    NotFound,
    ObjectRef,
    dig_dict,
    dig_str,
)
from services.contracts.identity import short_uid
from services.provisioner.node_facts import moment

NAMESPACE: Final = "kube-node-lease"
KIND: Final = "fake.kaito.sh/ledger"
COUNTS: Final = "counts"
LATE: Final = "late"
KEPT: Final = timedelta(days=1)
"""Counts older than this are swept: their workspace has long got what it asked for."""


class Ledger:
    """Counts by workspace uid, and machines that come late. Raises `KubeError`."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def count(self, uid: str, what: str) -> int:
        """How often that has happened."""
        found = await self._kube.get(_ref(_name(uid)))
        text = dig_str(found, "data", what)
        return int(text) if text.isdigit() else 0

    async def note(self, uid: str, what: str, times: int) -> None:
        """Write down how often that has happened now."""
        data: JsonObject = {what: str(times)}
        try:
            await self._kube.merge_patch(_ref(_name(uid)), {"data": data})
        except NotFound:
            await self._create(_name(uid), COUNTS, data)

    async def once_more(self, uid: str, what: str, limit: float) -> bool:
        """Whether that may happen once more; if so it is written down."""
        done = await self.count(uid, what)
        if done < limit:
            await self.note(uid, what, done + 1)
        return done < limit

    async def is_late(self, machine: str) -> bool:
        """Whether the machine was asked for, and is still to come."""
        return await self._kube.get(_ref(machine)) is not None

    async def promise(self, machine: str, node: JsonObject, at: datetime) -> None:
        """Have the machine come at that time, whoever runs then."""
        await self._create(machine, LATE, {"node": json.dumps(node), "at": at.isoformat()})

    async def due(self, now: datetime) -> list[tuple[str, JsonObject]]:
        """The names and nodes of the machines whose time has come."""
        found = await self._kube.list(CONFIGMAPS, labels=f"{KIND}={LATE}", namespace=NAMESPACE)
        entries = [(dig_str(item, "metadata", "name"), dig_dict(item, "data")) for item in found.items]
        come = [(name, data) for name, data in entries if (moment(dig_str(data, "at")) or now) <= now]
        return [(name, json.loads(dig_str(data, "node"))) for name, data in come]

    async def kept(self, machine: str) -> None:
        """The machine has come."""
        await self._kube.delete(_ref(machine))

    async def sweep(self) -> None:
        """Forget old counts."""
        limit = datetime.now(UTC) - KEPT
        found = await self._kube.list(CONFIGMAPS, labels=f"{KIND}={COUNTS}", namespace=NAMESPACE)
        for item in found.items:
            made = moment(dig_str(item, "metadata", "creationTimestamp"))
            if made and made < limit:
                await self._kube.delete(ObjectRef.of(CONFIGMAPS, item))

    async def _create(self, name: str, kind: str, data: JsonObject) -> None:
        metadata: JsonObject = {"name": name, "namespace": NAMESPACE, "labels": {KIND: kind}}
        body: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        try:
            await self._kube.create(CONFIGMAPS, body)
        except Conflict:
            await self._kube.merge_patch(_ref(name), {"data": data})


def _name(uid: str) -> str:
    return f"fake-script-{short_uid(uid)}"


def _ref(name: str) -> ObjectRef:
    return ObjectRef(CONFIGMAPS, name, NAMESPACE)
