"""Workspaces and messages for the tests of the command line, told as briefly as they can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.cli.history import BusMessage, Entry
from services.cli.workspaces import WorkspaceView
from services.contracts.conditions import Condition, ConditionStatus, ConditionType, StatusCondition
from services.contracts.messages import Demand, Message, Phase, PlanState, Report, WorkspaceState
from services.contracts.plan import Fixed, Plan, Workload
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import LabelSelector, Resource, WorkspaceSpec

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after the apply."""
    return T0 + timedelta(seconds=seconds)


def condition(kind: ConditionType, status: bool, reason: str, message: str = "") -> StatusCondition:
    """A condition of the status, in its present state for 10 s."""
    return StatusCondition(
        type=kind,
        status=ConditionStatus.TRUE if status else ConditionStatus.FALSE,
        reason=reason,
        message=message,
        last_transition_time=at(10),
    )


def plan(**changes: object) -> Plan:
    """A plan for one node of this machine."""
    values = {
        "revision": 1,
        "generation": 1,
        "workload": Workload.INFERENCE,
        "provider": "local",
        "instance_type": "this-machine",
        "nodes": 1,
        "fixed": Fixed(workload=Workload.INFERENCE),
    }
    return Plan.model_validate({**values, **changes})


def view(*conditions: StatusCondition, **status: object) -> WorkspaceView:
    """A Workspace called `phi` with these conditions and this status."""
    values = {"observed_generation": 1, "conditions": conditions, **status}
    return WorkspaceView(
        namespace="default",
        name="phi",
        uid="uid-1",
        generation=1,
        created_at=T0,
        status=WorkspaceStatus.model_validate(values),
    )


def identity(uid: str = "uid-1", generation: int = 1) -> dict[str, object]:
    """What every message about `phi` carries."""
    return {"namespace": "default", "name": "phi", "uid": uid, "generation": generation}


def applied(uid: str = "uid-1", generation: int = 1) -> WorkspaceState:
    """What the watcher publishes when it sees the Workspace."""
    spec = WorkspaceSpec(resource=Resource(label_selector=LabelSelector(match_labels={"app": "phi"})))
    return WorkspaceState.model_validate(
        {**identity(uid, generation), "resource_version": "7", "spec": spec, "created_at": T0}
    )


def planned(uid: str = "uid-1", generation: int = 1) -> PlanState:
    """What the scheduler publishes."""
    return PlanState.model_validate({**identity(uid, generation), "plan": plan(generation=generation)})


def demanded(nodes: int = 1, provider: str = "local") -> Demand:
    """What the scheduler asks of a provider."""
    values = {"plan_revision": 1, "provider": provider, "nodes": nodes, "instance_type": "this-machine"}
    return Demand.model_validate({**identity(), **values})


def reported(service: ServiceName, *conditions: Condition, phases: tuple[Phase, ...] = (), **more: object) -> Report:
    """What a service reports."""
    return Report.model_validate({**identity(), "service": service, "conditions": conditions, "phases": phases, **more})


def history(*messages: tuple[float, Message]) -> list[Entry]:
    """The messages as HISTORY gives them back, each published so many seconds after the apply."""
    return [Entry(at(seconds), message) for seconds, message in messages]


def stored(sequence: int, seconds: float, message: Message) -> BusMessage:
    """A message as it lies in the stream."""
    return BusMessage(sequence=sequence, subject=message.subject, time=at(seconds), body=message.to_json())
