"""What the loop says about a demand: conditions, phases, nodes, the failure, and what happens next.

Texts hold times of day, not ages, so that a report that has nothing new to say is equal to the last one.
"""

from __future__ import annotations

from datetime import datetime

from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import NodeReport, Report
from services.contracts.subjects import ServiceName
from services.provisioner.phases import phases
from services.provisioner.provider import Instance, InstanceState
from services.provisioner.reconcile import is_refused
from services.provisioner.replaced import replacements
from services.provisioner.view import Deadlines, View


def summarise(view: View, now: datetime, deadlines: Deadlines, previous: Report | None) -> Report:
    """The report of a pass. `previous` is the last one: phases that it says are over stay as they are."""
    demand = view.demand
    failure = view.failure or _overdue(view, now, deadlines)
    step, at = _next(view, failure, now, deadlines)
    if view.blind and previous and _stands(previous, view):
        return previous.model_copy(update={"failure": failure, "next_step": step, "next_at": at})
    losses = replacements(view, now, previous)
    return Report(
        namespace=demand.namespace,
        name=demand.name,
        uid=demand.uid,
        generation=demand.generation,
        service=ServiceName.PROVISIONER,
        plan_revision=demand.plan_revision,
        provider=demand.provider,
        conditions=_conditions(view, failure, [phase.detail for phase in losses if not phase.finished_at]),
        phases=(*phases(view, now, previous), *losses),
        nodes=tuple(_node(view, i) for i in view.kept),
        failure=failure,
        released=view.released,
        next_step=step,
        next_at=at,
    )


def _stands(previous: Report, view: View) -> bool:
    """Whether the last report still tells what is known: a cloud that is silent for a while takes nothing away."""
    demand = view.demand
    asked = (demand.uid, demand.generation, demand.plan_revision, demand.provider)
    said = (previous.uid, previous.generation, previous.plan_revision, previous.provider)
    return asked == said and not previous.released


def _conditions(view: View, failure: Failure | None, losses: list[str]) -> tuple[Condition, ...]:
    if view.demand.nodes == 0:
        return ()
    claims, nodes = _claims(view, failure), _nodes(view, losses)
    both = claims.is_true and nodes.is_true
    first = nodes if claims.is_true else claims
    return tuple(
        c.model_copy(update={"message": f"Simulated: {c.message}"}) if view.simulated else c
        for c in (
            claims,
            nodes,
            true(ConditionType.RESOURCE_READY, Reason.RESOURCE_READY, nodes.message)
            if both
            else false(ConditionType.RESOURCE_READY, Reason.RESOURCE_NOT_READY, first.message),
        )
    )


def _claims(view: View, failure: Failure | None) -> Condition:
    """Whether the cloud has brought all machines."""
    running = [i for i in view.kept if i.state is InstanceState.RUNNING]
    count = f"{len(running)} of {_count(view.demand.nodes, 'machine')} of size {view.demand.instance_type}"
    if len(running) == view.demand.nodes:
        return true(ConditionType.NODE_CLAIM_READY, Reason.NODE_CLAIMS_READY, f"{count} running")
    if failure is not None:
        return false(ConditionType.NODE_CLAIM_READY, failure.code, f"{count} running; {failure.message}")
    going = [i for i in view.instances if i.state is InstanceState.DELETING]
    waits = [f"{i.name} {i.detail or 'is being created'} since {_clock(i.created_at)}" for i in _creating(view)]
    waits += [f"{i.name} is being taken down first" for i in going]
    return false(ConditionType.NODE_CLAIM_READY, Reason.NODE_CLAIM_NOT_READY, "; ".join([f"{count} running", *waits]))


def _nodes(view: View, losses: list[str]) -> Condition:
    """Whether all nodes have joined and are ready for the workspace; `losses` tell of nodes that are replaced."""
    ready = [i for i in view.kept if view.is_ready(i)]
    count = f"{len(ready)} of {_count(view.demand.nodes, 'node')} ready"
    if len(ready) == view.demand.nodes:
        return true(ConditionType.NODES_READY, Reason.NODES_READY, count)
    waits = [f"{i.name} {_state(view, i)}" for i in view.kept if not view.is_ready(i)]
    return false(ConditionType.NODES_READY, Reason.NODE_NOT_READY, "; ".join([count, *waits, *losses]))


def _node(view: View, instance: Instance) -> NodeReport:
    ready = view.is_ready(instance)
    return NodeReport(
        name=instance.node_name or instance.name, ready=ready, detail="" if ready else _state(view, instance)
    )


def _state(view: View, instance: Instance) -> str:
    """What a machine that is not ready is doing, since when."""
    if instance.state is InstanceState.CREATING:
        return f"{instance.detail or 'is being created'} since {_clock(instance.created_at)}"
    node = view.node_of(instance)
    if node is None:
        return f"runs since {_clock(instance.launched_at or instance.created_at)} and has not joined the cluster yet"
    return view.lacking(node)


def _overdue(view: View, now: datetime, deadlines: Deadlines) -> Failure | None:
    """A node that has joined, but was not ready in time. It is kept for now: it may become ready yet."""
    for instance in view.kept:
        node = view.node_of(instance)
        if node and not view.is_ready(instance) and now >= view.began(instance) + deadlines.registration:
            text = f"node {node.name} {view.lacking(node)}"
            return Failure(code=FailureCode.TIMEOUT, message=text, instance_type=instance.instance_type)
    return None


def _next(
    view: View, failure: Failure | None, now: datetime, deadlines: Deadlines
) -> tuple[str | None, datetime | None]:
    """What happens next without anybody doing anything, and when at the latest."""
    if view.released:
        return None, None
    if failure and failure.retry_at and is_refused(failure, now):
        return f"the cloud is asked again at {_clock(failure.retry_at)}", failure.retry_at
    if view.demand.nodes == 0:
        names = ", ".join([i.name for i in view.instances] or [n.name for n in view.stray_nodes])
        return f"{names} to be taken down", None
    waiting = [i for i in view.kept if view.node_of(i) is None]
    if waiting:
        until, first = min(((view.deadline(i, deadlines), i) for i in waiting), key=lambda pair: pair[0])
        return f"{first.name} is given up and asked for anew if it does not come by {_clock(until)}", until
    sick = [(at, i.name) for i in view.kept if (at := view.sick_until(i, deadlines))]
    if sick:
        at, name = min(sick)
        return f"{name} is replaced if its node is not ready by {_clock(at)}", at
    return None, None


def _creating(view: View) -> list[Instance]:
    return [i for i in view.kept if i.state is InstanceState.CREATING]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"
