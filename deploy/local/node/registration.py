"""Keeps the Node object and its Lease: what the control plane knows of this machine."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.node.machine import look
from deploy.local.node.node_status import Address, adoption_patch, new_node, node_status, worth_writing
from deploy.local.node.options import NodeOptions
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

log = logging.getLogger(__name__)

BEAT_S = 10.0
LEASE_SECONDS = 40
"""The kubelet's figures: the lease is renewed every 10 s and good for 40."""
FIRST_RETRY_S, MOST_RETRY_S = 0.5, 10.0
LEASE_NAMESPACE = "kube-node-lease"


class Registration:
    """The node's side of its object. `register` first, then `run` as a task."""

    def __init__(self, client: KubeClient, options: NodeOptions, address: Address, folder: Path) -> None:
        self._client = client
        self._options = options
        self._address = address
        self._folder = folder
        self._ref = ObjectRef(NODES, options.name)
        self._lease = ObjectRef(LEASES, options.name, LEASE_NAMESPACE)
        self._node: JsonObject = {}
        self._written: JsonObject | None = None
        self._written_at = datetime.now(UTC)

    async def register(self) -> None:
        """Create the Node or adopt the one of this name; waits for the API server as long as it takes.

        Raises ValueError when the Node belongs to another machine.
        """
        delay = FIRST_RETRY_S
        while True:
            try:
                self._node = await self._create_or_adopt()
                return
            except KubeError as error:
                log.warning("the node is not registered yet: %s; next try in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(MOST_RETRY_S, delay * 2)

    async def _create_or_adopt(self) -> JsonObject:
        arch = look(self._folder).arch
        existing = await self._client.get(self._ref)
        if existing is None:
            log.info("creating Node %s", self._options.name)
            return await self._client.create(NODES, new_node(self._options, arch))
        log.info("adopting Node %s, which exists already", self._options.name)
        return await self._client.merge_patch(self._ref, adoption_patch(self._options, arch, existing))

    async def run(self) -> None:
        """Renew the lease every 10 s, and write the status when it has changed, at least every minute.

        A Node that somebody has deleted is not made again: it was meant to go. Its pods then go the same way.
        """
        while True:
            try:
                await self._renew_lease()
                await self.report()
                delay = BEAT_S
            except NotFound:
                log.warning("Node %s was deleted; start this agent again to have it back", self._options.name)
                delay = BEAT_S
            except KubeError as error:
                log.warning("no sign of life to the API server: %s", error)
                self._written = None  # Others may have written in the meantime that the node is lost.
                delay = FIRST_RETRY_S * 2
            await asyncio.sleep(delay)

    async def report(self, stopping: str = "") -> None:
        """Write the status, if it is worth it. Raises KubeError."""
        now = datetime.now(UTC)
        machine = await asyncio.to_thread(look, self._folder)
        status = node_status(self._options, machine, self._address, self._node, now, stopping)
        if not worth_writing(status, self._written, now - self._written_at):
            return
        self._node = await self._client.merge_patch(self._ref, {"status": status}, subresource="status")
        self._written, self._written_at = status, now

    async def leave(self) -> None:
        """Say that the agent is going, or take the Node away if that was asked for. Raises KubeError."""
        if self._options.delete_node_on_exit:
            await self._client.delete(self._ref, uid=dig_str(self._node, "metadata", "uid"))
        else:
            await self.report(stopping="the node agent was stopped; start it again to have the node back")

    async def _renew_lease(self) -> None:
        spec: JsonObject = {
            "holderIdentity": self._options.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            await self._client.merge_patch(self._lease, {"spec": spec})
        except NotFound:
            if await self._client.get(self._ref) is None:
                raise  # Then the lease has gone with the Node.
            await self._create_lease(spec)

    async def _create_lease(self, spec: JsonObject) -> None:
        owner = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": self._options.name,
            "uid": dig_str(self._node, "metadata", "uid"),
        }
        metadata: JsonObject = {
            "name": self._options.name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [owner],
        }
        lease: JsonObject = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": spec,
        }
        try:
            await self._client.create(LEASES, lease)
        except Conflict:
            log.debug("the lease of node %s was made at the same moment", self._options.name)
