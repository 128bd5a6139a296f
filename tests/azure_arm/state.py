"""The agent pools of one cluster, and the long-running operations on them. They move on only when told to."""

from __future__ import annotations

import copy
import itertools

JsonObject = dict[str, object]

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
SPOT_LABEL = {"kubernetes.azure.com/scalesetpriority": "spot"}
"""What AKS puts on spot nodes, asked or not."""


class Pool:
    """One pool, as ARM shows it."""

    def __init__(self, path: str, name: str, body: JsonObject) -> None:
        self.path = path
        self.name = name
        self.properties: JsonObject = {**_object(body.get("properties")), "provisioningState": "Creating"}
        self.operation = ""
        self.node = False
        if self.properties.get("scaleSetPriority") == "Spot":
            self.properties["nodeTaints"] = [*self.taints, SPOT_TAINT]
            self.properties["nodeLabels"] = {**_object(self.properties.get("nodeLabels")), **SPOT_LABEL}

    @property
    def taints(self) -> list[str]:
        found = self.properties.get("nodeTaints")
        return [str(taint) for taint in found] if isinstance(found, list) else []

    @property
    def tags(self) -> JsonObject:
        return _object(self.properties.get("tags"))

    @property
    def state(self) -> str:
        return str(self.properties["provisioningState"])

    def show(self) -> JsonObject:
        kind = "Microsoft.ContainerService/managedClusters/agentPools"
        return {"id": self.path, "name": self.name, "type": kind, "properties": copy.deepcopy(self.properties)}

    def show_node(self, labels: JsonObject) -> JsonObject:
        """The node that the pool's machine joins as."""
        own = {**_object(self.properties.get("nodeLabels")), "kubernetes.azure.com/agentpool": self.name}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"aks-{self.name}-12345678-vmss000000",
                "uid": f"node-of-{self.name}",
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T12:00:00Z",
                "labels": own | labels,
            },
            "status": {"allocatable": {"nvidia.com/gpu": "1"}, "conditions": [{"type": "Ready", "status": "True"}]},
        }


class State:
    """Pools by name. Operations by id: status, and error once failed."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.operations: dict[str, JsonObject] = {}
        self._ids = itertools.count(1)

    def begin(self, pool: Pool) -> str:
        pool.operation = f"op-{next(self._ids)}"
        self.operations[pool.operation] = {"name": pool.operation, "status": "InProgress"}
        return pool.operation

    def succeed(self, name: str, *, node: bool = True) -> None:
        """The machine is there, and its node has joined."""
        pool = self.pools[name]
        pool.properties["provisioningState"] = "Succeeded"
        pool.node = node
        self.operations[pool.operation] = {"name": pool.operation, "status": "Succeeded"}

    def fail(self, name: str, code: str, message: str, *, kept: bool = True) -> None:
        """The operation fails after it was accepted. `kept`: the pool itself tells why, as newer API versions do."""
        pool = self.pools[name]
        pool.properties["provisioningState"] = "Failed"
        error = {"code": code, "message": message}
        if kept:
            pool.properties["status"] = {"provisioningError": error}
        self.operations[pool.operation] = {"name": pool.operation, "status": "Failed", "error": error}

    def finish_deletions(self) -> None:
        """What is being deleted is gone."""
        self.pools = {name: pool for name, pool in self.pools.items() if pool.state != "Deleting"}


def _object(found: object) -> JsonObject:
    return dict(found) if isinstance(found, dict) else {}
