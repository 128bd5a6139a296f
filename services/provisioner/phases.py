"""The steps of each node, with the times at which they were passed, for `status.phases` and the waterfall.

Times are those that the cloud and Kubernetes have recorded; Kubernetes keeps whole seconds. A step that was
reported as over keeps the times it was reported with.
"""

from __future__ import annotations

from datetime import datetime

from services.contracts.messages import Phase, Report
from services.provisioner.provider import Instance, InstanceState
from services.provisioner.view import View


def phases(view: View, now: datetime, previous: Report | None) -> tuple[Phase, ...]:
    """The phases of all demanded machines, by index."""
    same = previous is not None and previous.uid == view.demand.uid and previous.provider == view.demand.provider
    before = {p.name: p for p in previous.phases} if previous and same else {}
    found: list[Phase] = []
    for instance in view.kept:
        found += _steps(view, instance, before, now)
    return tuple(found)


def _steps(view: View, instance: Instance, before: dict[str, Phase], now: datetime) -> list[Phase]:
    """From the request to the ready node; each step begins where the one before has ended."""
    node = view.node_of(instance)
    launched = (instance.launched_at or now) if instance.state is InstanceState.RUNNING else None
    registered = (node.created_at or now) if node and launched else None
    ready = (node.ready_at or now) if node and view.is_ready(instance) else None
    ends = {"requested": instance.created_at, "launched": launched, "registered": registered, "ready": ready}
    steps: list[Phase] = []
    start = instance.created_at
    for what, end in ends.items():
        name = f"node {instance.name} {what}"
        step = _step(name, start, end, before.get(name), instance)
        steps.append(step)
        if step.finished_at is None:
            break
        start = step.finished_at
    return steps


def _step(name: str, start: datetime, end: datetime | None, before: Phase | None, instance: Instance) -> Phase:
    """As reported before, if it was over then and is of this very machine, not of one that had its name before."""
    if before and before.finished_at and before.started_at >= instance.created_at:
        return before
    return Phase(name=name, started_at=start, finished_at=max(start, end) if end else None)
