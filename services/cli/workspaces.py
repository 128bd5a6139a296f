"""A Workspace as the command line reads it: its identity, what was asked for, and its status."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from services.contracts.base import Contract
from services.contracts.conditions import STEPS, ConditionType, StatusCondition
from services.contracts.status import WorkspaceStatus

_KNOWN = frozenset(ConditionType)


class WorkspaceView(Contract):
    """What is known of one Workspace now."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: datetime
    deleting_since: datetime | None = None
    status: WorkspaceStatus = WorkspaceStatus()

    @property
    def simulated(self) -> bool:
        """Whether no machine stands behind it."""
        return bool(self.status.simulated)

    @property
    def settled(self) -> bool:
        """Whether the status is about the newest spec."""
        return self.status.observed_generation >= self.generation


def read_workspace(obj: dict[str, object]) -> WorkspaceView:
    """The Workspace in an object of the API server.

    A status that another program wrote (old KAITO has conditions of its own) is read as far as it is known.
    """
    metadata = obj.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    return WorkspaceView(
        namespace=fields.get("namespace", ""),
        name=fields.get("name", ""),
        uid=fields.get("uid", ""),
        generation=fields.get("generation", 0),
        created_at=fields.get("creationTimestamp", ""),
        deleting_since=fields.get("deletionTimestamp"),
        status=_read_status(obj.get("status")),
    )


def _read_status(status: object) -> WorkspaceStatus:
    if not isinstance(status, dict):
        return WorkspaceStatus()
    conditions = [c for c in status.get("conditions") or () if isinstance(c, dict) and c.get("type") in _KNOWN]
    try:
        return WorkspaceStatus.model_validate({**status, "conditions": conditions})
    except ValidationError:
        return WorkspaceStatus.model_validate({"conditions": conditions})


def first_failing(status: WorkspaceStatus) -> StatusCondition | None:
    """The condition of the first step that has not been passed: what a person must be told."""
    reported = (status.condition(step) for step in STEPS)
    return next((condition for condition in reported if condition and not condition.is_true), None)
