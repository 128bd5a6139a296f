"""What the services say of a workspace, and the status that comes of it when all is well."""

from __future__ import annotations

from datetime import timedelta

from services.contracts.conditions import ConditionType, Reason, StatusCondition, false, true
from services.contracts.messages import NodeReport, Report
from services.contracts.plan import Plan
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.watcher.status import Seen, next_status
from tests.unit.samples import NOW, plan_state, report, workspace

LATER = NOW + timedelta(minutes=5)
PLANNED = true(ConditionType.PLAN_READY, Reason.PLANNED, "1 node.")
ENDPOINT = "http://w.team.svc.cluster.local"


def scheduled(**of: object) -> Report:
    """The scheduler: it is planned."""
    return report(ServiceName.SCHEDULER, PLANNED).model_copy(update=of)


def provisioned(*, ready: bool = True, provider: str = "azure", **of: object) -> Report:
    """The provisioner: the node is there, or is being made."""
    states = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    conditions = [
        true(type_, Reason.NODES_READY) if ready else false(type_, Reason.NODE_NOT_READY, "The node is being made.")
        for type_ in states
    ]
    made = report(ServiceName.PROVISIONER, *conditions, provider=provider)
    nodes = (NodeReport(name="node-1", ready=ready),)
    return made.model_copy(update={"nodes": nodes, "next_step": None if ready else "The node joins."} | of)


def deployed(*, ready: bool = True, **of: object) -> Report:
    """The deployer: the model is served, or its pod waits."""
    if ready:
        made = report(ServiceName.DEPLOYER, true(ConditionType.INFERENCE_READY, "Serving"), endpoint=ENDPOINT)
    else:
        waiting = false(ConditionType.INFERENCE_READY, Reason.INFERENCE_PENDING_NODES, "Pod w-0 waits.")
        made = report(ServiceName.DEPLOYER, waiting, next_step="Kubernetes starts the pod.")
    return made.model_copy(update=of)


ALL_READY = (scheduled(), provisioned(), deployed())


def seen(*reports: Report, made: Plan | None = None) -> Seen:
    """These reports, with a plan."""
    return Seen(plan=plan_state(made) if made else plan_state(), reports=reports)


def condition(status: WorkspaceStatus, type_: ConditionType) -> StatusCondition:
    """The condition of that type, which must be there."""
    found = status.condition(type_)
    assert found is not None, f"{type_} is not there"
    return found


def ready_status() -> WorkspaceStatus:
    """The status of a workspace of which all is reported and true."""
    return next_status(workspace(), seen(*ALL_READY), NOW)
