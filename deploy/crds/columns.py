"""What `kubectl get workspace` prints. The same in both versions: kubectl shows those of the preferred one."""

from __future__ import annotations

from deploy.crds.structural import Schema
from services.contracts.conditions import ConditionType

_WIDE = 1
"""The priority of a column that is printed only with `-o wide`."""


def _column(name: str, path: str, type_: str = "string", priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": type_, "jsonPath": path}
    return column | {"priority": priority} if priority else column


def _of_condition(type_: ConditionType, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


def columns() -> list[Schema]:
    """The `additionalPrinterColumns`; kubectl prints the names in capitals."""
    return [
        _column("Instance", ".status.instance"),
        _column("ResourceReady", _of_condition(ConditionType.RESOURCE_READY, "status")),
        _column("InferenceReady", _of_condition(ConditionType.INFERENCE_READY, "status")),
        _column("WorkspaceReady", _of_condition(ConditionType.WORKSPACE_READY, "status")),
        _column("State", ".status.state"),
        _column("JobStarted", _of_condition(ConditionType.JOB_STARTED, "status"), priority=_WIDE),
        _column("WorkspaceSucceeded", _of_condition(ConditionType.SUCCEEDED, "status"), priority=_WIDE),
        _column("Nodes", ".status.targetNodeCount", "integer", _WIDE),
        _column("Step", ".status.tuning.step", "integer", _WIDE),
        _column("Loss", ".status.tuning.loss", "number", _WIDE),
        _column("Cost/H", ".status.plan.costPerHour", "number", _WIDE),
        _column("Reason", _of_condition(ConditionType.WORKSPACE_READY, "reason"), priority=_WIDE),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
