"""What has just come to its end and becomes a span: long waits are written when they are over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.contracts.conditions import ConditionType
from services.contracts.messages import Phase
from services.contracts.status import WorkspaceStatus
from services.watcher.workspace import Metadata


def finished_phases(old: Sequence[Phase], new: Sequence[Phase]) -> list[Phase]:
    """The phases that are finished now and were not before."""
    before = {phase.name for phase in old if phase.finished_at}
    return [phase for phase in new if phase.finished_at and phase.name not in before]


def ready_span(
    old: WorkspaceStatus, new: WorkspaceStatus, meta: Metadata, now: datetime
) -> tuple[datetime, datetime] | None:
    """From the apply to the first token, at the moment at which the workspace is ready as of its generation.

    It may have been ready as of an earlier one all the time. `meta` is best what the API server answers to a write: a
    watch does not show who wrote when.
    """
    if not _is_ready(new, meta.generation) or _is_ready(old, meta.generation):
        return None
    return (meta.creation_timestamp if meta.generation == 1 else meta.changed_at), now


def _is_ready(status: WorkspaceStatus, generation: int) -> bool:
    ready = status.condition(ConditionType.WORKSPACE_READY)
    return ready is not None and ready.is_true and ready.observed_generation >= generation
