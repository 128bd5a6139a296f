"""The waterfall of one generation of a Workspace: from the apply to the answer, out of its messages. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from services.cli.history import Entry, Life, of_life
from services.contracts.base import Contract
from services.contracts.messages import Demand, Phase, PlanState, Report, WorkspaceState
from services.contracts.subjects import ServiceName


class Span(Contract):
    """One step. `end` is None while it goes on; `depth` 0 is the whole, 1 a service, 2 a phase within it."""

    name: str
    service: str
    start: datetime
    end: datetime | None
    depth: int
    detail: str = ""


def spans(entries: Sequence[Entry], life: Life) -> list[Span]:
    """The steps of one generation in the order in which they began, each service's phases below it."""
    own = of_life(entries, life)
    if not own:
        return []
    start = _start(own)
    groups = [group for group in (_watcher(own, start), _scheduler(own), *_provisioners(own), _deployer(own)) if group]
    groups.sort(key=lambda group: group[0].start)
    return [_root(own, start, groups), *(span for group in groups for span in _clipped(group))]


def _clipped(group: Sequence[Span]) -> list[Span]:
    """A service's spans, no phase before the service was asked: Kubernetes tells times to the second only."""
    asked = group[0].start
    late = (span.model_copy(update={"start": max(asked, span.start)}) for span in group)
    return [span.model_copy(update={"end": max(span.start, span.end) if span.end else None}) for span in late]


def _start(own: Sequence[Entry]) -> datetime:
    """When it was applied. The API server tells the creation to the second, so a message may be older than that."""
    first = own[0]
    created = [e.message.created_at for e in own if isinstance(e.message, WorkspaceState)]
    return min(first.time, created[0]) if created and first.message.generation == 1 else first.time


def _root(own: Sequence[Entry], start: datetime, groups: Sequence[Sequence[Span]]) -> Span:
    top = [group[0] for group in groups]
    ends = [span.end for span in top]
    known = [end for end in ends if end]
    message = own[0].message
    return Span(
        name=f"{message.namespace}/{message.name}",
        service="workspace",
        start=start,
        end=None if len(known) < len(ends) else max(known, default=own[-1].time),
        depth=0,
        detail=f"generation {message.generation}",
    )


def _watcher(own: Sequence[Entry], start: datetime) -> list[Span]:
    seen = next((e for e in own if isinstance(e.message, WorkspaceState)), None)
    phases = _phases(own, ServiceName.WATCHER)
    if seen is None:
        return phases
    return [Span(name="sees it", service=ServiceName.WATCHER, start=start, end=seen.time, depth=1), *phases]


def _scheduler(own: Sequence[Entry]) -> list[Span]:
    asked = next((e for e in own if isinstance(e.message, WorkspaceState)), None)
    planned = [e for e in own if isinstance(e.message, PlanState)]
    phases = _phases(own, ServiceName.SCHEDULER)
    if asked is None:
        return phases
    detail = _plan_detail(planned[-1].message) if planned else ""
    end = planned[0].time if planned else None
    return [
        Span(name="plans", service=ServiceName.SCHEDULER, start=asked.time, end=end, depth=1, detail=detail),
        *phases,
    ]


def _plan_detail(message: object) -> str:
    if not isinstance(message, PlanState):
        return ""
    plan = message.plan
    nodes = f"{plan.nodes} x {plan.instance_type}" if plan.nodes > 1 else plan.instance_type
    return f"{nodes} of {plan.provider}" + (" (simulated)" if plan.simulated else "")


def _provisioners(own: Sequence[Entry]) -> list[list[Span]]:
    """One group for each provider that was asked for nodes; a plan that falls back asks several."""
    asked: dict[str, Entry] = {}
    for entry in own:
        if isinstance(entry.message, Demand) and entry.message.nodes:
            asked.setdefault(entry.message.provider, entry)
    return [_provider(own, provider, entry) for provider, entry in asked.items()]


def _provider(own: Sequence[Entry], provider: str, asked: Entry) -> list[Span]:
    done = _first_all_true(own, ServiceName.PROVISIONER, provider) or _let_go(own, provider)
    phases = _phases(own, ServiceName.PROVISIONER, provider)
    top = Span(
        name="brings the nodes", service=ServiceName.PROVISIONER, start=asked.time, end=done, depth=1, detail=provider
    )
    return [top, *phases]


def _let_go(own: Sequence[Entry], provider: str) -> datetime | None:
    """When a provider was told to let go of all, because another one is tried."""
    demands = (e for e in own if isinstance(e.message, Demand) and e.message.provider == provider)
    return next((after.time for _, after in pairwise(demands) if _nodes(after) == 0), None)


def _nodes(entry: Entry) -> int:
    return entry.message.nodes if isinstance(entry.message, Demand) else 0


def _deployer(own: Sequence[Entry]) -> list[Span]:
    asked = next((e for e in own if isinstance(e.message, PlanState) and not e.message.retired), None)
    phases = _phases(own, ServiceName.DEPLOYER)
    if asked is None:
        return phases
    done = _first_all_true(own, ServiceName.DEPLOYER)
    top = Span(name="runs the workload", service=ServiceName.DEPLOYER, start=asked.time, end=done, depth=1)
    return [top, *phases]


def _reports(own: Iterable[Entry], service: ServiceName, provider: str | None) -> list[tuple[datetime, Report]]:
    return [
        (e.time, e.message)
        for e in own
        if isinstance(e.message, Report) and e.message.service is service and provider in (None, e.message.provider)
    ]


def _first_all_true(own: Sequence[Entry], service: ServiceName, provider: str | None = None) -> datetime | None:
    """When the service first reported that all its conditions hold."""
    reports = _reports(own, service, provider)
    return next((t for t, r in reports if r.conditions and all(c.is_true for c in r.conditions)), None)


def _phases(own: Sequence[Entry], service: ServiceName, provider: str | None = None) -> list[Span]:
    """The phases that a service reported, each as it was told last."""
    newest: dict[tuple[str, datetime], Phase] = {}
    for _, report in _reports(own, service, provider):
        newest |= {(phase.name, phase.started_at): phase for phase in report.phases}
    return [
        Span(
            name=phase.name,
            service=service,
            start=phase.started_at,
            end=phase.finished_at,
            depth=2,
            detail=phase.detail,
        )
        for phase in sorted(newest.values(), key=lambda phase: phase.started_at)
    ]
