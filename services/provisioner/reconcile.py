"""What to do about a demand: pure decisions from what was seen. Deciding twice, late or anew changes nothing.

Names of machines are derived from the workspace's uid, so whoever decides, however often, wants the same ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.contracts.base import Contract
from services.contracts.errors import Failure, FailureCode
from services.provisioner.node_facts import NodeFacts
from services.provisioner.provider import Deadlines, Instance, InstanceSpec, InstanceState, Owner
from services.provisioner.view import View

STEADY: Final = 60.0
"""Seconds until a demand that is met is looked at again."""
UNTOLD: Final = 45.0
"""The same for one that is not, and of which no change is told: to make up, within a minute, for what was missed."""
BARE: Final = 5.0
"""The same while a node is awaited whose name is known."""
TROUBLED: Final = 5.0
"""The same after something that did not work, and that says nothing of when it will."""
SOONEST: Final = 1.0
SLOWEST: Final = 3.0
"""Seconds between two questions to a cloud that does not tell of changes: a fault is to be seen within 5."""


class Loss(Contract):
    """A machine that is given up, and why."""

    instance: Instance
    failure: Failure


class Actions(Contract):
    """What a pass does, in any order: each works on another machine or node."""

    create: tuple[InstanceSpec, ...] = ()
    delete: tuple[Instance, ...] = ()
    mark: tuple[NodeFacts, ...] = ()
    remove_nodes: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    """Why some of those under `delete` are given up."""


def decide(view: View, now: datetime, deadlines: Deadlines) -> Actions:
    """The actions that bring the machines closer to the demand."""
    losses = tuple(loss for i in view.kept if (loss := _loss(view, i, now, deadlines)))
    lost = {loss.instance.name for loss in losses}
    return Actions(
        create=() if losses else _to_create(view, now),
        delete=_to_delete(view, lost),
        mark=tuple(n for i in view.kept if i.name not in lost and (n := view.node_of(i)) and _unmarked(view, n)),
        remove_nodes=tuple(node.name for node in view.stray_nodes),
        losses=losses,
    )


def _to_delete(view: View, lost: set[str]) -> tuple[Instance, ...]:
    """What is too much, highest index first: beyond the number, of another size, given up, or of another uid."""
    keep = {i.name for i in view.kept if i.name not in lost and _same_size(view, i)}
    own = sorted((i for name, i in view.by_name.items() if name not in keep), key=_index, reverse=True)
    return tuple(i for i in (*own, *view.strangers) if i.state is not InstanceState.DELETING)


def _to_create(view: View, now: datetime) -> tuple[InstanceSpec, ...]:
    """What is missing. A name that is still being taken down is free only once it is gone."""
    if is_refused(view.refusal, now):
        return ()
    return tuple(_spec(view, name) for name in view.wanted if name not in view.by_name)


def _spec(view: View, name: str) -> InstanceSpec:
    demand = view.demand
    return InstanceSpec(
        name=name,
        owner=Owner.of(demand),
        instance_type=demand.instance_type,
        gpus=demand.gpus,
        labels=view.labels,
        taints=demand.taints,
        disk_gib=demand.disk_gib,
        image_family=demand.image_family,
        preferred_nodes=demand.preferred_nodes,
        parameters=demand.parameters,
    )


def _loss(view: View, instance: Instance, now: datetime, deadlines: Deadlines) -> Loss | None:
    """Whether a machine is to be given up. One that makes it late, before it is gone, is kept after all."""
    if instance.state is InstanceState.FAILED:
        why = instance.failure or _failure(FailureCode.INTERNAL, f"{instance.name} failed", instance)
        return Loss(instance=instance, failure=why)
    if node := view.node_of(instance):
        until = view.sick_until(instance, deadlines)
        if until is None or now < until:
            return None
        text = f"node {node.name} {view.lacking(node)} since {node.not_ready_since:%H:%M:%S} UTC"
        return Loss(instance=instance, failure=_failure(FailureCode.TIMEOUT, text, instance))
    if now < view.deadline(instance, deadlines):
        return None
    did = "launch" if instance.state is InstanceState.CREATING else "join the cluster as a node"
    text = f"{instance.name} did not {did} within {_minutes(deadlines.of(instance) - instance.created_at)}"
    return Loss(instance=instance, failure=_failure(FailureCode.TIMEOUT, text, instance))


def is_refused(refusal: Failure | None, now: datetime) -> bool:
    """Whether new machines must wait."""
    return refusal is not None and (refusal.retry_at is None or now < refusal.retry_at)


def look_again(view: View, now: datetime, deadlines: Deadlines) -> float | None:
    """Seconds until the demand is looked at again though no change was told; None when all is done for good."""
    if view.released:
        return None
    if view.failure and view.failure.retry_at:
        return min(STEADY, max(SOONEST, (view.failure.retry_at - now).total_seconds()))
    if view.trouble:
        return TROUBLED
    if is_met(view):
        return STEADY
    if any(_unmarked(view, node) for i in view.kept if (node := view.node_of(i))):
        return SOONEST  # somebody wrote to the node at the same moment
    if any(i.node_name and view.node_of(i) is None for i in view.kept):
        return min(BARE, _by_age(view, now))  # nobody tells of a node that joins without our labels
    return min(UNTOLD, max(SOONEST, _until_a_deadline(view, now, deadlines)))


def is_met(view: View) -> bool:
    """Whether all is as demanded, and nothing is under way."""
    ready = all(view.is_ready(i) for i in view.instances)
    return ready and 0 < len(view.kept) == view.demand.nodes and not view.stray_nodes


def pace(view: View, now: datetime) -> float:
    """Seconds between two questions to the cloud while the demand is not met.

    The longer a machine has taken, the longer it may still take.
    """
    return SOONEST if view.demand.nodes == 0 else min(SLOWEST, _by_age(view, now))


def _by_age(view: View, now: datetime) -> float:
    youngest = max((i.created_at for i in view.instances if not view.is_ready(i)), default=now)
    return max(SOONEST, (now - youngest).total_seconds() / 8)


def _until_a_deadline(view: View, now: datetime, deadlines: Deadlines) -> float:
    """Seconds until time alone changes what is said or done of a machine that is not ready."""
    waiting = [i for i in view.kept if not view.is_ready(i)]
    limits = [view.deadline(i, deadlines) for i in waiting]
    limits += [until for i in waiting if (until := view.sick_until(i, deadlines))]
    return min(((limit - now).total_seconds() for limit in limits if limit > now), default=UNTOLD)


def _unmarked(view: View, node: NodeFacts) -> bool:
    return node.lacks(view.labels) or bool(node.missing_taints(view.demand.taints))


def _same_size(view: View, instance: Instance) -> bool:
    """Also the same part of a node, where nodes are shared."""
    demand = view.demand
    return instance.instance_type.lower() == demand.instance_type.lower() and instance.gpus == demand.gpus


def _index(instance: Instance) -> int:
    number = instance.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _failure(code: FailureCode, message: str, instance: Instance) -> Failure:
    return Failure(code=code, message=message, instance_type=instance.instance_type)


def _minutes(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
