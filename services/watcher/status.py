"""What the status of a Workspace should be, from what it was and what the services report. Pure.

What no report speaks of stays as it was: reports may be lost with the bus, the status must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from services.contracts.base import Contract
from services.contracts.conditions import (
    SUMMARIES,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    StatusCondition,
    false,
    true,
)
from services.contracts.identity import traceparent
from services.contracts.messages import Phase, PlanState, Report
from services.contracts.performance import Performance
from services.contracts.plan import Plan, Workload
from services.contracts.status import State, WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.tuning import TuningProgress
from services.watcher.validate import Problem
from services.watcher.workspace import Workspace

C = TypeVar("C", bound=Condition)

MAX_PHASES = 64
WAITING = "Waiting"
"""The reason of a condition of which nobody has spoken yet."""


class Seen(Contract):
    """What is known of a workspace beside the object itself. `problem` is set by the one who validated it."""

    plan: PlanState | None = None
    reports: tuple[Report, ...] = ()
    problem: Problem | None = None


def next_status(workspace: Workspace, seen: Seen, now: datetime) -> WorkspaceStatus:
    """The status to write. Equal to the present one when there is nothing new."""
    old, meta = workspace.status, workspace.metadata
    plan = _newer(old.plan, seen.plan, meta.uid)
    reports = [r for r in seen.reports if r.uid == meta.uid and _counts(r, plan)]
    now = now.replace(microsecond=0)  # a metav1.Time has whole seconds
    steps = _steps(workspace, plan, reports, seen.problem, now)
    summary = _summary(workspace, plan, steps)
    as_of = _as_of(steps, meta.generation)
    provisioner = _of(reports, ServiceName.PROVISIONER)
    deployer = _of(reports, ServiceName.DEPLOYER)
    beside = _beside(old, deployer, plan, now)
    conditions = _dated(old.conditions, [*steps, *beside, *(_stamped(c, as_of, now) for c in summary)])
    simulated = bool(plan and plan.simulated)
    return old.model_copy(
        update={
            "observed_generation": meta.generation,
            "conditions": conditions,
            "state": _state(meta.deleting, plan, steps, summary, old.state),
            "instance": _instance(workspace, plan),
            "performance": _performance(old, deployer, plan),
            "tuning": _tuning(old, deployer, plan),
            "worker_nodes": tuple(n.name for n in provisioner.nodes if n.ready) if provisioner else old.worker_nodes,
            "target_node_count": plan.nodes if plan else old.target_node_count,
            "plan": plan,
            "phases": _phases(old.phases, reports, meta.generation, old.observed_generation),
            "endpoint": None if simulated else (deployer.endpoint if deployer else old.endpoint),
            "simulated": simulated if plan else None,
            "failure": (provisioner.failure if provisioner else old.failure),
            "next_step": (
                deployer.next_step
                if deployer and meta.deleting and not deployer.conditions
                else _next_step(seen.problem, steps, reports, old)
            ),
            "traceparent": traceparent(meta.uid, meta.generation),
        }
    )


def expected(workspace: Workspace, plan: Plan | None) -> tuple[ConditionType, ...]:
    """The steps that this workspace passes, in order."""
    nodes = (
        ConditionType.PLAN_READY,
        ConditionType.NODE_CLAIM_READY,
        ConditionType.NODES_READY,
        ConditionType.RESOURCE_READY,
    )
    tuning = plan.workload is Workload.TUNING if plan else bool(workspace.spec and workspace.spec.tuning)
    if tuning:
        return (*nodes, ConditionType.JOB_STARTED, ConditionType.JOB_SUCCEEDED)
    adapters = bool(plan and plan.lora and plan.lora.adapters)
    return (*nodes, ConditionType.INFERENCE_READY, *([ConditionType.ADAPTERS_READY] if adapters else ()))


def first_failing(steps: Iterable[C]) -> C | None:
    """The first step that has not been passed: what a person must be told."""
    return next((condition for condition in steps if not condition.is_true), None)


def _newer(old: Plan | None, state: PlanState | None, uid: str) -> Plan | None:
    if state is None or state.uid != uid:
        return old
    return state.plan if old is None or state.plan.revision >= old.revision else old


def _counts(report: Report, plan: Plan | None) -> bool:
    """Whether the report is about the present plan, by its provider. The scheduler reports before there is one."""
    if report.service is ServiceName.SCHEDULER or plan is None:
        return True
    return report.plan_revision >= plan.revision and report.provider in (None, plan.provider)


def _of(reports: Sequence[Report], service: ServiceName) -> Report | None:
    return next((r for r in reports if r.service is service), None)


def _steps(
    workspace: Workspace, plan: Plan | None, reports: Sequence[Report], problem: Problem | None, now: datetime
) -> list[StatusCondition]:
    """The condition of each expected step: as reported now, as it was, or waiting for the step before."""
    generation = workspace.metadata.generation
    known = _reported(workspace, reports, now)
    if problem is not None:
        known[ConditionType.PLAN_READY] = _stamped(problem.condition(), generation, now)
    steps: list[StatusCondition] = []
    for type_ in expected(workspace, plan):
        before = first_failing(steps)
        steps.append(known.get(type_) or _stamped(_waiting(type_, before), generation, now))
    return steps


def _reported(workspace: Workspace, reports: Sequence[Report], now: datetime) -> dict[ConditionType, StatusCondition]:
    """The newest word on each condition: the status's, unless a report of its generation or a later one says else."""
    known = {c.type: c for c in workspace.status.conditions if c.reason != WAITING}
    for report in reports:
        for condition in report.conditions:
            old = workspace.status.condition(condition.type)
            if old is None or old.reason == WAITING or report.generation >= old.observed_generation:
                known[condition.type] = _stamped(condition, report.generation, now)
    return known


def _stamped(condition: Condition, generation: int, now: datetime) -> StatusCondition:
    """The condition as of that generation, as if its status had changed now."""
    return StatusCondition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=generation,
        last_transition_time=now,
    )


def _waiting(type_: ConditionType, before: Condition | None) -> Condition:
    message = f"Waiting for {before.type}." if before else "Waiting for the first report."
    return Condition(type=type_, status=ConditionStatus.UNKNOWN, reason=WAITING, message=message)


def _summary(workspace: Workspace, plan: Plan | None, steps: Sequence[Condition]) -> list[Condition]:
    """The top conditions: they repeat the first failing step's reason and message."""
    if workspace.metadata.deleting:
        text = "Being taken down: first the workload, then the nodes."
        down = [false(type_, Reason.DELETING, text) for type_ in SUMMARIES]
        return [true(ConditionType.DELETING, Reason.DELETING, text), *down]
    failing = None if _is_tuned(steps) else first_failing(steps)
    if failing is not None:
        return [
            Condition(type=t, status=ConditionStatus.FALSE, reason=failing.reason, message=failing.message)
            for t in SUMMARIES
        ]
    if plan is not None and plan.simulated:
        text = "Simulated: all steps were rehearsed. No machine and no model stand behind this Workspace."
        return [true(type_, Reason.SIMULATED, text) for type_ in SUMMARIES]
    return [true(type_, Reason.WORKSPACE_SUCCEEDED, "") for type_ in SUMMARIES]


def _is_tuned(steps: Sequence[Condition]) -> bool:
    """Whether the adapter is there: then it does not matter any more what becomes of the nodes."""
    return any(c.type is ConditionType.JOB_SUCCEEDED and c.is_true for c in steps)


def _as_of(steps: Sequence[StatusCondition], generation: int) -> int:
    """The generation that the summaries speak of: that of the failing step, or the oldest that any step speaks of."""
    failing = first_failing(steps)
    told = [failing] if failing else steps
    return min((c.observed_generation for c in told), default=generation)


def _dated(old: Sequence[StatusCondition], wanted: Sequence[StatusCondition]) -> tuple[StatusCondition, ...]:
    """Give each condition the time of its last transition: it only moves when the status changes."""
    before: Mapping[ConditionType, StatusCondition] = {c.type: c for c in old}
    return tuple(_dated_one(before.get(c.type), c) for c in wanted)


def _dated_one(old: StatusCondition | None, wanted: StatusCondition) -> StatusCondition:
    if old is None or old.status is not wanted.status:
        return wanted
    return wanted.model_copy(update={"last_transition_time": old.last_transition_time})


def _state(
    deleting: bool, plan: Plan | None, steps: Sequence[Condition], summary: Sequence[Condition], old: State | None
) -> State:
    """The STATE column. Once a model has served, it is NotReady rather than Pending when it does not."""
    if deleting:
        return State.DELETING
    done = all(condition.is_true for condition in summary)
    if plan is not None and plan.simulated:
        return State.SIMULATED
    if plan is not None and plan.workload is Workload.TUNING:
        return State.SUCCEEDED if done else _tuning_state(steps)
    if done:
        return State.READY
    return State.NOT_READY if old in (State.READY, State.NOT_READY) else State.PENDING


def _tuning_state(steps: Sequence[Condition]) -> State:
    """Of a workspace that tunes and is not done."""
    known = {condition.type: condition for condition in steps}
    ended, started = known.get(ConditionType.JOB_SUCCEEDED), known.get(ConditionType.JOB_STARTED)
    if ended is not None and ended.reason == Reason.JOB_FAILED:
        return State.FAILED
    return State.RUNNING if started is not None and started.is_true else State.PENDING


def _tuning(old: WorkspaceStatus, deployer: Report | None, plan: Plan | None) -> TuningProgress | None:
    """How far tuning has come under the present plan."""
    if deployer is not None and deployer.tuning is not None:
        return deployer.tuning
    same = old.plan is not None and plan is not None and old.plan.revision == plan.revision
    return old.tuning if same else None


def _performance(old: WorkspaceStatus, deployer: Report | None, plan: Plan | None) -> Performance | None:
    """What the engine measured under the present plan; what was measured under an earlier one says nothing of it."""
    if deployer is not None and deployer.performance is not None:
        return deployer.performance
    same = old.plan is not None and plan is not None and old.plan.revision == plan.revision
    return old.performance if same else None


def _beside(
    old: WorkspaceStatus, deployer: Report | None, plan: Plan | None, now: datetime
) -> tuple[StatusCondition, ...]:
    """What is told besides the steps, under the present plan: how far the benchmark is."""
    for condition in deployer.conditions if deployer else ():
        if condition.type is ConditionType.BENCHMARK_COMPLETED and deployer:
            return (_stamped(condition, deployer.generation, now),)
    before = old.condition(ConditionType.BENCHMARK_COMPLETED)
    same = old.plan is not None and plan is not None and old.plan.revision == plan.revision
    return (before,) if before and same else ()


def _instance(workspace: Workspace, plan: Plan | None) -> str | None:
    if plan is not None:
        return f"{plan.instance_type} (simulated)" if plan.simulated else plan.instance_type
    return workspace.spec.resource.instance_type if workspace.spec else workspace.status.instance


def _phases(old: Sequence[Phase], reports: Sequence[Report], generation: int, observed: int) -> tuple[Phase, ...]:
    """All phases of this generation by start; a newer word on a phase replaces the older."""
    phases = {p.name: p for p in old} if generation == observed else {}
    phases |= {p.name: p for report in reports for p in report.phases}
    return tuple(sorted(phases.values(), key=lambda p: (p.started_at, p.name))[-MAX_PHASES:])


def _next_step(
    problem: Problem | None, steps: Sequence[Condition], reports: Sequence[Report], old: WorkspaceStatus
) -> str | None:
    """In the words of who reports the first failing step; those of before while nobody speaks of it."""
    if problem is not None:
        return "It is looked at again when the Workspace, or what it names, changes."
    failing = first_failing(steps)
    if _is_tuned(steps):
        return next((r.next_step for r in reports if r.service is ServiceName.DEPLOYER), old.next_step)
    if failing is None:
        return None
    for report in reports:
        if any(c.type is failing.type and not c.is_true for c in report.conditions):
            return _with_planners_word(report, reports)
    before = old.condition(failing.type)
    return old.next_step if before is not None and before.reason == failing.reason else None


def _with_planners_word(speaker: Report, reports: Sequence[Report]) -> str | None:
    """The scheduler knows what else would do where a provider has failed; it speaks after the one who failed."""
    planner = _of(reports, ServiceName.SCHEDULER)
    words = [speaker.next_step, planner.next_step if planner and planner is not speaker and speaker.failure else None]
    return ". ".join(word.rstrip(".") for word in words if word) + "." if words[1] else words[0]
