"""Why a Workspace is as it is: the first step that fails, in whose words, and what happens next. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from services.cli.advice import NEEDS_SOMEONE, next_sentence
from services.cli.workspaces import WorkspaceView, first_failing
from services.contracts.base import Contract
from services.contracts.conditions import ConditionType, StatusCondition
from services.contracts.status import State

_SKEW = timedelta(seconds=5)
"""How far the times of an event and of the condition that follows from it may be apart."""

STEP_TITLES = {
    ConditionType.PLAN_READY: "the plan",
    ConditionType.NODE_CLAIM_READY: "the request for nodes",
    ConditionType.NODES_READY: "the nodes",
    ConditionType.RESOURCE_READY: "the nodes",
    ConditionType.INFERENCE_READY: "the inference server",
    ConditionType.ADAPTERS_READY: "the adapters",
    ConditionType.JOB_STARTED: "the tuning job",
    ConditionType.JOB_SUCCEEDED: "the end of the training",
}
"""The steps in words."""


class Verdict(StrEnum):
    """How it stands, in one word."""

    READY = "ready"
    SIMULATED = "simulated"
    WAITING = "waiting"
    FAILED = "failed"
    DELETING = "deleting"


class Words(Contract):
    """What somebody said: a cloud, Kubernetes, or the engine in its log."""

    source: str
    text: str


class Note(Contract):
    """A warning event of Kubernetes on the workspace, its workload or its pods."""

    about: str
    reason: str
    message: str
    last_seen: datetime | None = None


class Explanation(Contract):
    """The answer of `kaitobus why`. `since`: when the step came to stand as it does; `next_at`: when to expect more."""

    namespace: str
    name: str
    verdict: Verdict
    summary: str
    step: ConditionType | None = None
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    words: tuple[Words, ...] = ()
    next_step: str = ""
    next_at: datetime | None = None
    warnings: tuple[str, ...] = ()


def explain(workspace: WorkspaceView, notes: Sequence[Note] = (), logs: Sequence[Words] = ()) -> Explanation:
    """Say why the workspace is as it is.

    `notes` are Kubernetes' warnings, newest last; `logs` the last lines of containers that crashed.
    """
    failing = first_failing(workspace.status)
    if workspace.deleting_since:
        return _deleting(workspace, failing)
    if failing:
        return _failing(workspace, failing, notes, logs)
    return _passed(workspace)


def _deleting(workspace: WorkspaceView, failing: StatusCondition | None) -> Explanation:
    deleting = workspace.status.condition(ConditionType.DELETING)
    return _explanation(
        workspace,
        Verdict.DELETING,
        "It is being deleted.",
        message=deleting.message if deleting else "",
        since=workspace.deleting_since,
        words=_cloud_words(workspace),
        next_step=workspace.status.next_step or "The workload goes first, then the nodes, then the Workspace itself.",
        step=failing.type if failing else None,
    )


def _failing(
    workspace: WorkspaceView, failing: StatusCondition, notes: Sequence[Note], logs: Sequence[Words]
) -> Explanation:
    status = workspace.status
    terminal = bool(status.failure and status.failure.terminal)
    failed = terminal or status.state is State.FAILED or failing.reason in NEEDS_SOMEONE
    title = STEP_TITLES.get(failing.type, failing.type)
    return _explanation(
        workspace,
        Verdict.FAILED if failed else Verdict.WAITING,
        f"It {'fails at' if failed else 'waits for'} {title}.",
        step=failing.type,
        reason=failing.reason,
        message=failing.message,
        since=failing.last_transition_time,
        words=(*_cloud_words(workspace), *_kubernetes_words(failing, notes), *logs),
        next_step=next_sentence(failing.reason, status, workspace.name),
        next_at=status.failure.retry_at if status.failure else None,
    )


def _passed(workspace: WorkspaceView) -> Explanation:
    status = workspace.status
    summary = _summary_condition(workspace)
    since = summary.last_transition_time if summary else workspace.created_at
    if summary is None or not (summary.is_true or workspace.simulated):
        message = summary.message if summary else "No service has reported on it yet."
        advice = status.next_step or "The watcher reports within seconds where it runs."
        return _explanation(
            workspace, Verdict.WAITING, "It is not ready yet.", message=message, since=since, next_step=advice
        )
    if workspace.simulated:
        text = "It is simulated: no machine and no model stand behind it, and it never answers."
        return _explanation(workspace, Verdict.SIMULATED, text, message=summary.message, since=since)
    where = f" It answers at {status.endpoint}." if status.endpoint else ""
    words = _benchmark_words(workspace)
    return _explanation(workspace, Verdict.READY, f"All is well.{where}", since=since, words=words)


def _benchmark_words(workspace: WorkspaceView) -> tuple[Words, ...]:
    """How fast the server has found itself to be, or why that is not known (yet)."""
    found = workspace.status.condition(ConditionType.BENCHMARK_COMPLETED)
    return (Words(source="benchmark", text=found.message),) if found and found.message else ()


def _summary_condition(workspace: WorkspaceView) -> StatusCondition | None:
    kinds = (ConditionType.SUCCEEDED, ConditionType.WORKSPACE_READY, ConditionType.READY)
    found = [condition for kind in kinds if (condition := workspace.status.condition(kind))]
    return next((condition for condition in found if condition.is_true), found[-1] if found else None)


def _cloud_words(workspace: WorkspaceView) -> tuple[Words, ...]:
    failure = workspace.status.failure
    if failure is None:
        return ()
    about = f" about {failure.instance_type}" if failure.instance_type else ""
    plan = workspace.status.plan
    return (Words(source=f"{plan.provider if plan else 'provider'}{about}", text=f"{failure.code}: {failure.message}"),)


def _kubernetes_words(failing: StatusCondition, notes: Sequence[Note]) -> tuple[Words, ...]:
    """The newest warning about each object since the step fails, but for those that say what the condition says."""
    since = failing.last_transition_time - _SKEW
    recent = (note for note in notes if note.last_seen is None or note.last_seen >= since)
    newest = {note.about: note for note in recent if not _same(note.message, failing.message)}
    return tuple(Words(source=note.about, text=f"{note.reason}: {note.message}") for note in newest.values())


def _same(one: str, other: str) -> bool:
    """Whether one message holds the other."""
    return bool(one and other) and (one in other or other in one)


def _explanation(workspace: WorkspaceView, verdict: Verdict, summary: str, **found: object) -> Explanation:
    plan = workspace.status.plan
    warnings = plan.warnings if plan else ()
    if not workspace.settled and verdict is not Verdict.DELETING:
        behind = f"The newest change (generation {workspace.generation}) has not been looked at yet."
        warnings = (behind, *warnings)
    values: dict[str, object] = {
        "namespace": workspace.namespace,
        "name": workspace.name,
        "verdict": verdict,
        "summary": summary,
        "warnings": warnings,
        **found,
    }
    return Explanation.model_validate(values)
