"""What the deployer reports of a plan that tunes, from its Job and its pods. Pure.

The Job's annotations keep what its pods have said: Kubernetes deletes the pods of a Job that has failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from services.chassis.kube import JsonObject, dig_str
from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.messages import PlanState
from services.contracts.tuning import TuningProgress
from services.deployer.diagnose import Diagnosis, diagnose, words_of
from services.deployer.job_end import is_complete, is_failed
from services.deployer.pods import ContainerStatus, Pod, Terminated
from services.deployer.redact import redact
from services.deployer.tuning_job import CONTAINER
from services.tuning.exit_codes import ExitCode, is_terminal

FAILURE: Final = "kaito.sh/tuning-failure"
"""Annotation of the Job: why the container ended last."""
RESULT: Final = "kaito.sh/tuning-result"
"""Annotation of the Job: what came of it, as JSON."""
AGAIN: Final = (
    "Nothing happens until the Workspace or its ConfigMap is changed, or the Job is deleted: then it is run again."
)
STAYS: Final = "The nodes stay until the Workspace is deleted. To tune again, delete the Job."


class TuningSeen(Contract):
    """What was found. `failure` are a container's last words, `stopped` says that it will not be tried again."""

    pods: tuple[Pod, ...] = ()
    succeeded: bool = False
    stopped: bool = False
    failure: str = ""
    refusal: str = ""
    progress: TuningProgress | None = None


class TuningTold(Contract):
    """What is reported: conditions, the numbers, and what happens next."""

    conditions: tuple[Condition, ...]
    progress: TuningProgress | None = None
    next_step: str | None = None


def seen_of(job: JsonObject | None, pods: Sequence[Pod], refusal: str = "") -> TuningSeen:
    """What the Job says of itself, and its pods."""
    ended = last_end(pods)
    return TuningSeen(
        pods=tuple(pods),
        succeeded=is_complete(job),
        stopped=is_failed(job) or bool(ended and is_terminal(ended.exit_code)),
        failure=_said(ended) or dig_str(job, "metadata", "annotations", FAILURE),
        refusal=refusal,
        progress=read_result(dig_str(job, "metadata", "annotations", RESULT)),
    )


def pods_of(job: JsonObject, pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """Those by which the Job is judged: not what another Job of that name has left, nor pods that are being ended;
    unless the Job has failed, since then Kubernetes ends those that tell why.
    """
    own = tuple(pod for pod in pods if pod.is_of(dig_str(job, "metadata", "uid")))
    return own if is_failed(job) else tuple(pod for pod in own if not pod.going)


def _said(ended: Terminated | None) -> str:
    """Why a container ended, in its own words or in the node's; nothing where it ended well."""
    if ended is None or ended_well(ended):
        return ""
    killed = "It took more memory than it may, and was killed." if ended.reason == "OOMKilled" else ""
    return redact(words_of(ended)).strip() or killed


def last_end(pods: Sequence[Pod]) -> Terminated | None:
    """How the container that tunes ended last, if it is not running again since."""
    statuses = [s for pod in pods for s in pod.status.container_statuses if s.name == CONTAINER]
    found = [ended for status in statuses if (ended := _ended(status))]
    return found[-1] if found else None


def _ended(status: ContainerStatus) -> Terminated | None:
    return status.state.terminated or status.last_state.terminated


def read_result(text: str) -> TuningProgress | None:
    """What a container has left when it was done: JSON, or a line of its log with it."""
    try:
        content: object = json.loads(text.strip().rpartition("\n")[2])
        found = content.get("result", content) if isinstance(content, dict) else None
        return TuningProgress.model_validate(found) if found else None
    except (ValueError, ValidationError):
        return None


def told_of(state: PlanState, seen: TuningSeen) -> TuningTold:
    """Conditions in the order of the steps."""
    if seen.succeeded:
        return _succeeded(state, seen)
    started = true(ConditionType.JOB_STARTED, Reason.JOB_STARTED, "The pod of the Job has started.")
    if seen.stopped:
        words = seen.failure or "Its container ended too often; its log says why."
        failed = false(ConditionType.JOB_SUCCEEDED, Reason.JOB_FAILED, f"The tuning has failed. {words}")
        return TuningTold(conditions=(started, failed), progress=seen.progress, next_step=AGAIN)
    if _runs(seen.pods):
        again = f" It goes on after a break. {seen.failure}" if seen.failure else ""
        runs = false(ConditionType.JOB_SUCCEEDED, Reason.JOB_RUNNING, f"The model is being tuned.{again}")
        return TuningTold(conditions=(started, runs), progress=seen.progress, next_step="It is trained to its end.")
    diagnosis = _diagnosed(seen)
    if last_end(seen.pods):
        broke = false(ConditionType.JOB_SUCCEEDED, diagnosis.reason, diagnosis.message)
        return TuningTold(conditions=(started, broke), progress=seen.progress, next_step=_from_checkpoint(diagnosis))
    waits = false(ConditionType.JOB_STARTED, diagnosis.reason, diagnosis.message)
    return TuningTold(conditions=(waits,), next_step=diagnosis.next_step)


def _succeeded(state: PlanState, seen: TuningSeen) -> TuningTold:
    if state.plan.simulated:
        text = "Simulated: nothing was tuned."
        kinds = (ConditionType.JOB_STARTED, ConditionType.JOB_SUCCEEDED)
        return TuningTold(conditions=tuple(true(kind, Reason.SIMULATED, text) for kind in kinds))
    done = seen.progress or TuningProgress()
    where = done.reference or (
        f"in the folder {done.folder} of the volume" if done.folder else "where it was asked for"
    )
    loss = f", with a loss of {done.eval_loss:g} on held-out data" if done.eval_loss is not None else ""
    started = true(ConditionType.JOB_STARTED, Reason.JOB_STARTED, "The pod of the Job has started.")
    ended = true(ConditionType.JOB_SUCCEEDED, Reason.JOB_SUCCEEDED, f"The adapter is {where}{loss}.")
    return TuningTold(conditions=(started, ended), progress=seen.progress, next_step=STAYS)


def _runs(pods: Sequence[Pod]) -> bool:
    return any(s.name == CONTAINER and s.state.running for pod in pods for s in pod.status.container_statuses)


def _diagnosed(seen: TuningSeen) -> Diagnosis:
    """The diagnosis of pods; where it only waits for a server, in the words of a Job."""
    found = diagnose(seen.pods, 1, seen.refusal)
    if found.reason is not Reason.INFERENCE_PENDING:
        return found
    return Diagnosis(
        reason=Reason.JOB_PENDING,
        message="The pod of the Job is being prepared." if seen.pods else "The Job has no pod yet.",
        next_step="Kubernetes starts it; then it fetches the data, loads the model and trains.",
    )


def _from_checkpoint(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.next_step.rstrip('.')}, and goes on from its last checkpoint."


def ended_well(ended: Terminated | None) -> bool:
    """Whether the container is done."""
    return ended is not None and ended.exit_code == ExitCode.DONE
