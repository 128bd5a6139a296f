"""The status of a Workspace, as the watcher writes it: KAITO's fields, and what Kaito Bus adds."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.conditions import ConditionStatus, ConditionType, StatusCondition
from services.contracts.errors import Failure
from services.contracts.messages import Phase
from services.contracts.performance import Performance
from services.contracts.plan import Plan
from services.contracts.tuning import TuningProgress


class State(StrEnum):
    """The STATE column: one word for a person. Decisions are made from conditions, never from this."""

    PENDING = "Pending"
    READY = "Ready"
    NOT_READY = "NotReady"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SIMULATED = "Simulated"
    DELETING = "Deleting"


class WorkspaceStatus(Contract):
    """`status` of a Workspace. `phases` and `plan` say what was decided and when each step was passed."""

    observed_generation: int = 0
    conditions: tuple[StatusCondition, ...] = ()
    state: State | None = None
    instance: str | None = Field(default=None, description="The machine size in use, marked where simulated.")
    worker_nodes: tuple[str, ...] = ()
    target_node_count: int | None = None
    performance: Performance | None = None
    tuning: TuningProgress | None = Field(default=None, description="How far fine-tuning has come.")
    plan: Plan | None = None
    phases: tuple[Phase, ...] = ()
    endpoint: str | None = Field(default=None, description="Where the model answers inside the cluster.")
    simulated: bool | None = Field(default=None, description="No machine and no model stand behind this workspace.")
    failure: Failure | None = Field(default=None, description="The provider's last failure, in the cloud's words.")
    next_step: str | None = Field(default=None, description="What happens next, in words.")
    traceparent: str | None = Field(default=None, description="W3C trace context of this generation.")

    def condition(self, type_: ConditionType) -> StatusCondition | None:
        """The condition of that type, if it is there."""
        return next((c for c in self.conditions if c.type is type_), None)

    def is_true(self, type_: ConditionType) -> bool:
        """Whether that condition is there and True."""
        found = self.condition(type_)
        return found is not None and found.status is ConditionStatus.TRUE
