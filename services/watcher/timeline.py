"""What has just come to its end and becomes a span: long waits are written when they are over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.contracts.conditions import ConditionType
from services.contracts.messages import Phase
from services.contracts.status import WorkspaceStatus
from services.watcher.workspace import Workspace


def finished_phases(old: Sequence[Phase], new: Sequence[Phase]) -> list[Phase]:
    """The phases that are finished now and were not before."""
    before = {phase.name for phase in old if phase.finished_at}
    return [phase for phase in new if phase.finished_at and phase.name not in before]


def ready_span(workspace: Workspace, status: WorkspaceStatus) -> tuple[datetime, datetime] | None:
    """From the apply to the first token, at the moment at which the workspace gets ready for its generation."""
    now = status.condition(ConditionType.WORKSPACE_READY)
    if now is None or not now.is_true or workspace.status.is_true(ConditionType.WORKSPACE_READY):
        return None
    return _applied(workspace, status), now.last_transition_time


def _applied(workspace: Workspace, status: WorkspaceStatus) -> datetime:
    """When this generation began: the object's creation for the first, its first phase for a later one."""
    if workspace.metadata.generation == 1 or not status.phases:
        return workspace.metadata.creation_timestamp
    return status.phases[0].started_at
