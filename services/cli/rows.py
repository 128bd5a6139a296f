"""The table of `kaitobus get`: kubectl's columns, and what kubectl cannot show. No I/O."""

from __future__ import annotations

from datetime import datetime

from services.cli.view.text import age
from services.cli.workspaces import WorkspaceView, first_failing
from services.contracts.conditions import ConditionType
from services.contracts.tuning import TuningProgress

NONE = "<none>"
_CONDITIONS = (ConditionType.RESOURCE_READY, ConditionType.INFERENCE_READY, ConditionType.WORKSPACE_READY)
_WIDE_CONDITIONS = (ConditionType.JOB_STARTED, ConditionType.SUCCEEDED)


def headers(*, wide: bool, namespaces: bool) -> list[str]:
    """The column titles."""
    names = ["NAMESPACE"] if namespaces else []
    names += ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "STATE", "AGE"]
    names += ["JOBSTARTED", "WORKSPACESUCCEEDED", "NODES", "TUNING", "COST/H"] if wide else []
    return [*names, "ENDPOINT", "MESSAGE"]


def row(workspace: WorkspaceView, now: datetime, *, wide: bool, namespaces: bool) -> list[str]:
    """One Workspace's cells, in the order of `headers`."""
    status = workspace.status
    state = str(status.state or NONE) + (" (simulated)" if workspace.simulated and status.state != "Simulated" else "")
    cells = [workspace.namespace] if namespaces else []
    cells += [workspace.name, status.instance or NONE]
    cells += [_condition(workspace, kind) for kind in _CONDITIONS]
    cells += [state, age(workspace.created_at, now)]
    cells += _wide_cells(workspace) if wide else []
    return [*cells, status.endpoint or NONE, problem(workspace)]


def _wide_cells(workspace: WorkspaceView) -> list[str]:
    status = workspace.status
    cost = status.plan.cost_per_hour if status.plan else None
    return [
        *(_condition(workspace, kind) for kind in _WIDE_CONDITIONS),
        ",".join(status.worker_nodes) or NONE,
        tuning(status.tuning),
        NONE if cost is None else f"{cost:.2f}",
    ]


def tuning(progress: TuningProgress | None) -> str:
    """How far tuning has come, in a few words."""
    if progress is None or progress.step is None:
        return progress.phase or NONE if progress else NONE
    parts = [f"{progress.step}/{progress.steps}" if progress.steps else str(progress.step)]
    parts += [f"loss {progress.loss:.3g}"] if progress.loss is not None else []
    parts += [f"{progress.seconds_left} s left"] if progress.seconds_left else []
    return ", ".join(parts)


def problem(workspace: WorkspaceView) -> str:
    """The first failing step in one line; empty where there is none."""
    if workspace.deleting_since:
        return "is being deleted"
    failing = first_failing(workspace.status)
    return f"{failing.reason}: {' '.join(failing.message.split())}" if failing else ""


def _condition(workspace: WorkspaceView, kind: ConditionType) -> str:
    found = workspace.status.condition(kind)
    return str(found.status) if found else NONE
