"""The waterfall of one generation of a Workspace: from the apply to the answer, out of its messages. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from services.cli.history import Entry, Life, of_life
from services.contracts.base import Contract
from services.contracts.messages import Demand, Phase, PlanState, Report, WorkspaceState
from services.contracts.subjects import ServiceName

SECOND = timedelta(seconds=1)


class Span(Contract):
    """One step. `end` is None while it goes on; `depth` 0 is the whole, 1 a service, 2 a phase within it."""

    name: str
    service: str
    start: datetime
    end: datetime | None
    depth: int
    detail: str = ""


def spans(entries: Sequence[Entry], life: Life) -> list[Span]:
    """The steps of one generation in the order in which they began, each service's phases below it.

    Where HISTORY begins later than the generation (it was lost, or is older than it keeps), what came before is
    drawn from the times in the reports.
    """
    own = of_life(entries, life)
    if not own:
        return []
    groups = [*_provisioners(own), _deployer(own)]
    if _is_whole(own):
        groups += [_watcher(own), _scheduler(own)]
    groups = sorted((group for group in groups if group), key=lambda group: group[0].start)
    return [_root(own, groups), *(span for group in groups for span in group)]


def _is_whole(own: Sequence[Entry]) -> bool:
    """Whether the history holds this generation from its first message on: nothing had been done before it."""
    reports = (entry.message for entry in own if isinstance(entry.message, Report))
    starts = [phase.started_at for report in reports for phase in report.phases]
    return not starts or own[0].time <= min(starts) + SECOND


def _start(own: Sequence[Entry]) -> datetime:
    """When it was applied. The API server tells the creation to the second, so a message may be older than that."""
    first = own[0]
    created = [e.message.created_at for e in own if isinstance(e.message, WorkspaceState)]
    return min(first.time, created[0]) if created and first.message.generation == 1 else first.time


def _root(own: Sequence[Entry], groups: Sequence[Sequence[Span]]) -> Span:
    top = [group[0] for group in groups]
    ends = [span.end for span in top if span.end]
    message = own[0].message
    return Span(
        name=f"{message.namespace}/{message.name}",
        service="workspace",
        start=min((span.start for span in top), default=_start(own)),
        end=None if len(ends) < len(top) else max(ends, default=own[-1].time),
        depth=0,
        detail=f"generation {message.generation}",
    )


def _watcher(own: Sequence[Entry]) -> list[Span]:
    seen = next((e.time for e in own if isinstance(e.message, WorkspaceState)), None)
    return [Span(name="sees it", service=ServiceName.WATCHER, start=_start(own), end=seen, depth=1)] if seen else []


def _scheduler(own: Sequence[Entry]) -> list[Span]:
    asked = next((e.time for e in own if isinstance(e.message, WorkspaceState)), None)
    planned = [e for e in own if isinstance(e.message, PlanState)]
    detail = _plan_detail(planned[-1].message) if planned else ""
    done = planned[0].time if planned else None
    top = Span(name="plans", service=ServiceName.SCHEDULER, start=asked or done or own[0].time, end=done, depth=1)
    return [top.model_copy(update={"detail": detail})] if asked else []


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
    top = Span(
        name="brings the nodes", service=ServiceName.PROVISIONER, start=asked.time, end=done, depth=1, detail=provider
    )
    return _group(top, _phases(own, ServiceName.PROVISIONER, provider))


def _group(top: Span, phases: Sequence[Span]) -> list[Span]:
    """A service's span with its phases.

    Kubernetes tells times to the second only, so a phase may seem to begin a little before the service was asked.
    One that began long before shows that the service did so already, and the message is a later one.
    """
    first = min((phase.start for phase in phases), default=top.start)
    if first < top.start - SECOND:
        ends = [phase.end for phase in phases if phase.end]
        top = top.model_copy(update={"start": first, "end": max(ends) if len(ends) == len(phases) else None})
    return [top, *(_not_before(phase, top.start) for phase in phases)]


def _not_before(phase: Span, asked: datetime) -> Span:
    start = max(asked, phase.start)
    return phase.model_copy(update={"start": start, "end": max(start, phase.end) if phase.end else None})


def _let_go(own: Sequence[Entry], provider: str) -> datetime | None:
    """When a provider was told to let go of all, because another one is tried."""
    demands = (e for e in own if isinstance(e.message, Demand) and e.message.provider == provider)
    return next((after.time for _, after in pairwise(demands) if _nodes(after) == 0), None)


def _nodes(entry: Entry) -> int:
    return entry.message.nodes if isinstance(entry.message, Demand) else 0


def _deployer(own: Sequence[Entry]) -> list[Span]:
    asked = next((e.time for e in own if isinstance(e.message, PlanState) and not e.message.retired), None)
    if asked is None:
        return []
    done = _first_all_true(own, ServiceName.DEPLOYER)
    top = Span(name="runs the workload", service=ServiceName.DEPLOYER, start=asked, end=done, depth=1)
    return _group(top, _phases(own, ServiceName.DEPLOYER))


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
