"""Nodes that were ready and were lost: which, since when, why, and what came in their place. Pure.

The last report is the memory: it says which nodes have been ready, so a process that starts anew knows it, too.
"""

from __future__ import annotations

from datetime import datetime

from services.contracts.messages import Phase, Report
from services.provisioner.provider import InstanceState
from services.provisioner.view import View


def ready_before(last: Report | None, uid: str) -> frozenset[str]:
    """The machines whose nodes have been ready, by the last report on this workspace."""
    if last is None or last.uid != uid:
        return frozenset()
    steps = {phase.name for phase in last.phases if phase.finished_at}
    names = {step.split(" ")[1] for step in steps if step.startswith("node ")}
    return frozenset(name for name in names if f"node {name} ready" in steps)


def replacements(view: View, now: datetime, last: Report | None) -> tuple[Phase, ...]:
    """A phase for each demanded machine that was lost: from the loss until the node in its place is ready.

    Of several losses of one machine the newest is told.
    """
    before = {p.name: p for p in last.phases} if last and last.uid == view.demand.uid else {}
    found = (_lost(view, name, now, before) or _going_on(view, name, now, before) for name in view.wanted)
    return tuple(phase for phase in found if phase)


def _lost(view: View, name: str, now: datetime, before: dict[str, Phase]) -> Phase | None:
    """A loss that is seen for the first time."""
    requested = before.get(f"node {name} requested")
    if name not in view.was_ready or requested is None:
        return None
    instance, since = view.by_name.get(name), now
    if name in view.lost:
        why = view.lost[name]
    elif instance is None or instance.created_at > requested.started_at:
        why = f"{name} is gone: its provider does not have it any more"
        since = min(now, instance.created_at) if instance else now
    elif instance.state is InstanceState.DELETING:
        why = f"{name} is being taken down"
    else:
        return None
    return Phase(name=f"node {name} replaced", started_at=since, detail=f"{why} (seen at {since:%H:%M:%S} UTC)")


def _going_on(view: View, name: str, now: datetime, before: dict[str, Phase]) -> Phase | None:
    """A loss that was seen before; it is over when a younger machine's node is ready."""
    phase = before.get(f"node {name} replaced")
    instance = view.by_name.get(name)
    if phase is None or phase.finished_at or instance is None or view.began(instance) < phase.started_at:
        return phase
    if not view.is_ready(instance):
        return phase
    detail = f"{phase.detail}; {instance.node_name} is in its place"
    return phase.model_copy(update={"finished_at": now, "detail": detail})
