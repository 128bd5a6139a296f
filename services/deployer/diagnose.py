"""Why pods are not ready, in the words of Kubernetes and the engine, and what happens next. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from services.contracts.base import Contract
from services.contracts.conditions import Reason
from services.deployer.pods import ContainerStatus, Pod, Terminated
from services.deployer.weights import INIT_CONTAINER

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


class Diagnosis(Contract):
    """Why the workload is not ready. `crashed` names the container whose last log lines would tell more."""

    reason: Reason
    message: str
    next_step: str
    crashed: str | None = None


def diagnose(pods: Sequence[Pod], wanted: int, refusal: str = "") -> Diagnosis:
    """The gravest thing that is wrong with any pod; without one, what is waited for.

    `refusal` is why Kubernetes does not create a pod that is missing. How a pod ends that was told to is no fault.
    """
    ending = sorted(pod.metadata.name for pod in pods if pod.going)
    pods = [pod for pod in pods if not pod.going]
    if refusal and len(pods) < wanted:
        return Diagnosis(
            reason=Reason.WORKLOAD_REFUSED,
            message=f"{len(pods)} of {wanted} pods have been created. Kubernetes refuses the next: {refusal}",
            next_step="Kubernetes tries again, with growing pauses. What it refuses must be changed.",
        )
    found = [d for pod in sorted(pods, key=lambda p: p.metadata.name) if (d := _of_pod(pod))]
    if found:
        return min(found, key=lambda d: _GRAVITY.index(d.reason))
    if len(pods) < wanted:
        return Diagnosis(
            reason=Reason.INFERENCE_PENDING,
            message=f"{len(pods)} of {wanted} pods have been created.{_ending(ending)}",
            next_step="Kubernetes creates the pods.",
        )
    if any(s.name == INIT_CONTAINER and s.state.running for pod in pods for s in pod.status.init_container_statuses):
        return Diagnosis(
            reason=Reason.INFERENCE_PENDING,
            message="The model's files are being fetched and checked.",
            next_step="Then the engine loads the model.",
        )
    ready = sum(pod.status.ready for pod in pods)
    return Diagnosis(
        reason=Reason.INFERENCE_PENDING,
        message=f"The model is being loaded: {ready} of {wanted} pods ready.",
        next_step="The engine loads the model and makes its first token; then it is ready.",
    )


def _ending(names: Sequence[str]) -> str:
    return f" Still being ended: {', '.join(names)}." if names else ""


_GRAVITY = (
    Reason.CONTAINER_OOM_KILLED,
    Reason.MODEL_NOT_FETCHED,
    Reason.CONTAINER_CRASH_LOOP,
    Reason.CONTAINER_START_ERROR,
    Reason.IMAGE_PULL_ERROR,
    Reason.POD_EVICTED,
    Reason.UNSCHEDULABLE,
    Reason.INFERENCE_PENDING_NODES,
)


def _of_pod(pod: Pod) -> Diagnosis | None:
    if pod.status.reason == "Evicted":
        return Diagnosis(
            reason=Reason.POD_EVICTED,
            message=f"Pod {pod.metadata.name} was evicted: {pod.status.message}",
            next_step="Kubernetes starts a new pod.",
        )
    scheduled = pod.status.condition("PodScheduled")
    if pod.spec.node_name is None and scheduled is not None and scheduled.status == "False":
        return Diagnosis(
            reason=Reason.INFERENCE_PENDING_NODES,
            message=f"Pod {pod.metadata.name} waits for its node: {scheduled.message}",
            next_step="Kubernetes starts the pod as soon as its node has joined.",
        )
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((d for status in statuses if (d := _of_container(pod, status))), None)


def _of_container(pod: Pod, status: ContainerStatus) -> Diagnosis | None:
    where = f"Container {status.name} of pod {pod.metadata.name}"
    ended = status.state.terminated or status.last_state.terminated
    if ended and ended.reason == "OOMKilled" and not status.ready:
        return Diagnosis(
            reason=Reason.CONTAINER_OOM_KILLED,
            message=f"{where} ran out of memory and was killed ({status.restart_count} restarts).{words_of(ended)}",
            next_step="It is started again. If it happens again, choose a larger instance type.",
            crashed=pod.metadata.name,
        )
    waiting = status.state.waiting
    if waiting and waiting.reason in _PULL:
        return Diagnosis(
            reason=Reason.IMAGE_PULL_ERROR,
            message=f"{where}: the image cannot be pulled: {waiting.message or waiting.reason}",
            next_step="The node tries again, with growing pauses of up to 5 minutes.",
        )
    if waiting and waiting.reason in _START:
        return Diagnosis(
            reason=Reason.CONTAINER_START_ERROR,
            message=f"{where} cannot be started: {waiting.message or waiting.reason}",
            next_step="The node tries again.",
        )
    return _crash(where, pod, status)


def _crash(where: str, pod: Pod, status: ContainerStatus) -> Diagnosis | None:
    ended = status.state.terminated or status.last_state.terminated
    if ended and ended.exit_code and status.name == INIT_CONTAINER and not status.ready:
        return Diagnosis(
            reason=Reason.MODEL_NOT_FETCHED,
            message=f"The model's files could not be had for pod {pod.metadata.name}.{words_of(ended)}",
            next_step="It is tried again, with growing pauses of up to 5 minutes; what has come by then is kept.",
        )
    looping = status.state.waiting and status.state.waiting.reason == "CrashLoopBackOff"
    if not ended or status.ready or (ended.exit_code == 0 and not looping):
        return None
    return Diagnosis(
        reason=Reason.CONTAINER_CRASH_LOOP,
        message=f"{where} ended with exit code {ended.exit_code} ({status.restart_count} restarts).{words_of(ended)}",
        next_step="It is started again, with growing pauses of up to 5 minutes.",
        crashed=pod.metadata.name,
    )


def words_of(ended: Terminated) -> str:
    """What the container itself left as its last message, after a space.

    Where that is the end of its log and the last line is one of ours, it is that line's own words.
    """
    text = ended.message.strip()
    try:
        line: object = json.loads(text.rpartition("\n")[2]) if text.endswith("}") else None
    except ValueError:
        line = None
    said = line.get("message") if isinstance(line, dict) else None
    return f" {said if isinstance(said, str) else text}" if text else ""
