"""The status of a Pod, from the state of its containers. Pure: what the kubelet's own rules say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from deploy.local.node.container_state import (
    ContainerRecord,
    Running,
    State,
    Terminated,
    Waiting,
    backoff,
    runs_again,
)
from deploy.local.node.pod import Condition, Pod
from deploy.local.node.pod_container import Container
from services.chassis.kube import JsonObject

Records = Mapping[str, ContainerRecord]
Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


def timestamp(at: datetime) -> str:
    """A time as Kubernetes writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record_of(records: Records, container: Container) -> ContainerRecord:
    """The container's record; one that says nothing has happened yet if there is none."""
    return records.get(container.name, ContainerRecord(container.name))


def initialized(pod: Pod, records: Records) -> bool:
    """Whether every init container has done its work."""
    return all(is_done(record_of(records, container)) for container in pod.spec.init_containers)


def containers_ready(pod: Pod, records: Records) -> bool:
    """Whether every container runs and is ready."""
    return all(is_ready(record_of(records, container)) for container in pod.spec.containers)


def is_ready(record: ContainerRecord) -> bool:
    """Whether one container runs and is ready."""
    return record.ready and isinstance(record.state, Running)


def phase(pod: Pod, records: Records) -> Phase:
    """The phase: Failed and Succeeded only once nothing of the pod will run again."""
    if pod.status.phase == "Succeeded":
        return "Succeeded"
    if pod.status.phase == "Failed" or _init_failed(pod, records):
        return "Failed"
    own = [record_of(records, container) for container in pod.spec.containers]
    if not initialized(pod, records) or any(_never_ran(record) for record in own):
        return "Pending"
    ends = [record.state for record in own if isinstance(record.state, Terminated)]
    over = len(ends) == len(own)
    if not over or any(runs_again(end, pod.spec.restart_policy, init=False) for end in ends):
        return "Running"
    return "Succeeded" if all(end.exit_code == 0 for end in ends) else "Failed"


def _never_ran(record: ContainerRecord) -> bool:
    return isinstance(record.state, Waiting) and record.last is None


def _init_failed(pod: Pod, records: Records) -> bool:
    states = (record_of(records, container).state for container in pod.spec.init_containers)
    ends = (state for state in states if isinstance(state, Terminated))
    return any(end.exit_code != 0 and not runs_again(end, pod.spec.restart_policy, init=True) for end in ends)


def pod_status(pod: Pod, records: Records, address: str, now: datetime) -> JsonObject:
    """The whole status that this node reports."""
    current = phase(pod, records)
    status: JsonObject = {
        "phase": current,
        "hostIP": address,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": pod.status.start_time or timestamp(now),
        "conditions": conditions(pod, records, current, now),
        "containerStatuses": _container_statuses(pod, pod.spec.containers, records, init=False),
    }
    if pod.spec.init_containers:
        status["initContainerStatuses"] = _container_statuses(pod, pod.spec.init_containers, records, init=True)
    return status


def conditions(pod: Pod, records: Records, current: Phase, now: datetime) -> list[JsonObject]:
    """The pod's conditions: ours, and those that others keep (such as PodScheduled)."""
    over = current in ("Succeeded", "Failed")
    init_done = initialized(pod, records)
    waiting = [c.name for c in pod.spec.init_containers if not is_done(record_of(records, c))]
    unready = [c.name for c in pod.spec.containers if not is_ready(record_of(records, c))]
    ready = Condition(type="Ready", status="False" if over or unready else "True")
    if over:
        ready = ready.model_copy(update={"reason": "PodCompleted" if current == "Succeeded" else "PodFailed"})
    elif unready:
        ready = ready.model_copy(update=_why("ContainersNotReady", "containers with unready status", unready))
    prepared = Condition(type="Initialized", status="True" if init_done else "False")
    if not init_done:
        prepared = prepared.model_copy(
            update=_why("ContainersNotInitialized", "containers with incomplete status", waiting)
        )
    mine = [prepared, ready, ready.model_copy(update={"type": "ContainersReady"})]
    return merged_conditions(pod.status.conditions, mine, timestamp(now))


def is_done(record: ContainerRecord) -> bool:
    """Whether an init container has done its work."""
    return isinstance(record.state, Terminated) and record.state.exit_code == 0


def _why(reason: str, what: str, names: Iterable[str]) -> dict[str, str]:
    return {"reason": reason, "message": f"{what}: [{' '.join(names)}]"}


def merged_conditions(old: Sequence[Condition], new: Sequence[Condition], now: str) -> list[JsonObject]:
    """`new` in place of the old ones of the same type; the transition time moves only with the status."""
    before = {condition.type: condition for condition in old}
    merged = dict(before)
    for condition in new:
        known = before.get(condition.type)
        since = known.last_transition_time if known and known.status == condition.status else None
        merged[condition.type] = condition.model_copy(update={"last_transition_time": since or now})
    return [condition.to_dict() for condition in merged.values()]


def _container_statuses(pod: Pod, containers: Sequence[Container], records: Records, *, init: bool) -> list[JsonObject]:
    return [container_status(pod, one, record_of(records, one), init=init) for one in containers]


def container_status(pod: Pod, container: Container, record: ContainerRecord, *, init: bool) -> JsonObject:
    """One container's status. Ended and to be started again later, it is shown waiting in CrashLoopBackOff."""
    state: State = record.state
    last = record.last
    if isinstance(state, Terminated) and not pod.finished and runs_again(state, pod.spec.restart_policy, init=init):
        last = state
        state = _backing_off(pod, record)
    elif state == Waiting() and pod.spec.init_containers and not init:
        state = Waiting("PodInitializing")
    done = init and is_done(record)
    status: JsonObject = {
        "name": container.name,
        "image": container.image,
        "imageID": f"local://{container.image}" if record.container_id else "",
        "ready": done or is_ready(record),
        "started": record.started and isinstance(record.state, Running),
        "restartCount": record.restarts,
        "state": state_json(state),
        "lastState": state_json(last) if last else {},
    }
    return status | _filled({"containerID": record.container_id})


def same_status(wanted: JsonObject, actual: JsonObject) -> bool:
    """Whether the API server has the status that is wanted. It adds nulls to what it stores."""
    return all(_without_nulls(actual.get(key)) == value for key, value in wanted.items())


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _backing_off(pod: Pod, record: ContainerRecord) -> Waiting:
    seconds = int(backoff(record.crashes).total_seconds())
    return Waiting("CrashLoopBackOff", f"back-off {seconds}s restarting failed container={record.name} pod={pod.title}")


def state_json(state: State) -> JsonObject:
    """A container's state as the API has it."""
    match state:
        case Waiting(reason=reason, message=message):
            return {"waiting": _filled({"reason": reason, "message": message})}
        case Running(started_at=started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case Terminated() as ended:
            return {"terminated": _terminated_json(ended)}


def _terminated_json(ended: Terminated) -> JsonObject:
    times: JsonObject = {"finishedAt": timestamp(ended.finished_at)}
    if ended.started_at:
        times["startedAt"] = timestamp(ended.started_at)
    optional = _filled({"signal": ended.signal, "message": ended.message, "containerID": ended.container_id})
    return {"exitCode": ended.exit_code, "reason": ended.reason, **times, **optional}


def _filled(values: JsonObject) -> JsonObject:
    return {key: value for key, value in values.items() if value}
