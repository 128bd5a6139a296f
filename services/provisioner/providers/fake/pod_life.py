"""The life of a pod on a fake machine: what a kubelet would write into its status next, and when. Pure.

Each step is decided from the status as it stands, so a process that starts anew goes on where another stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from services.chassis.kube import JsonObject, dig, dig_dict, dig_dicts, dig_str
from services.provisioner.node_facts import moment
from services.provisioner.providers.fake.settings import FakeSettings


class Step(NamedTuple):
    """What to write now, if anything, and the seconds until it is worth looking again (None: never)."""

    status: JsonObject | None
    after: float | None


def is_over(pod: JsonObject) -> bool:
    """Whether the pod has ended."""
    return dig_str(pod, "status", "phase") in ("Succeeded", "Failed")


def next_step(pod: JsonObject, now: datetime, pace: FakeSettings) -> Step:
    """Pending, then pulling, then running, then ready; a pod that is meant to end succeeds after a while."""
    started = moment(dig_str(pod, "status", "startTime"))
    if is_over(pod):
        return Step(None, None)
    if started is None:
        return Step(_pulling(pod, now), pace.pull_seconds)
    running = _running_since(pod)
    if running is None:
        left = _left(started, pace.pull_seconds, now)
        return Step(None, left) if left else Step(_running(pod, now), pace.start_seconds)
    if not _is_ready(pod):
        left = _left(running, pace.start_seconds, now)
        return Step(None, left) if left else Step(_ready(pod, now, running), pace.job_seconds)
    if not _ends(pod):
        return Step(None, None)
    left = _left(running, pace.job_seconds, now)
    return Step(None, left) if left else Step(_succeeded(pod, now, running), None)


def _pulling(pod: JsonObject, now: datetime) -> JsonObject:
    state: JsonObject = {"waiting": {"reason": "ContainerCreating"}}
    return {
        "phase": "Pending",
        "startTime": _at(now),
        "conditions": _conditions(pod, now, initialized=not _init(pod), ready=False),
        "initContainerStatuses": [_container(c, {"waiting": {"reason": "PodInitializing"}}) for c in _init(pod)],
        "containerStatuses": [_container(c, state) for c in _containers(pod)],
    }


def _running(pod: JsonObject, now: datetime) -> JsonObject:
    started = moment(dig_str(pod, "status", "startTime")) or now
    return {
        "phase": "Running",
        "conditions": _conditions(pod, now, initialized=True, ready=False),
        "initContainerStatuses": [_container(c, _completed(started, now), ready=True) for c in _init(pod)],
        "containerStatuses": [_container(c, {"running": {"startedAt": _at(now)}}) for c in _containers(pod)],
    }


def _ready(pod: JsonObject, now: datetime, running: datetime) -> JsonObject:
    state: JsonObject = {"running": {"startedAt": _at(running)}}
    return {
        "conditions": _conditions(pod, now, initialized=True, ready=True),
        "containerStatuses": [_container(c, state, ready=True) for c in _containers(pod)],
    }


def _succeeded(pod: JsonObject, now: datetime, running: datetime) -> JsonObject:
    return {
        "phase": "Succeeded",
        "conditions": _conditions(pod, now, initialized=True, ready=False, reason="PodCompleted"),
        "containerStatuses": [_container(c, _completed(running, now)) for c in _containers(pod)],
    }


def _container(spec: JsonObject, state: JsonObject, *, ready: bool = False) -> JsonObject:
    name, image = dig_str(spec, "name"), dig_str(spec, "image")
    there = "waiting" not in state
    return {
        "name": name,
        "image": image,
        "imageID": f"simulated://{image}" if there else "",
        "containerID": f"simulated://{name}" if there else "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _conditions(
    pod: JsonObject, now: datetime, *, initialized: bool, ready: bool, reason: str = "ContainersNotReady"
) -> list[JsonObject]:
    """The conditions a kubelet keeps; those of others, as the scheduler's, stay."""
    wanted = {"Initialized": initialized, "ContainersReady": ready, "Ready": ready}
    found = {dig_str(c, "type"): c for c in dig_dicts(pod, "status", "conditions")}
    others = [c for kind, c in found.items() if kind not in wanted]
    return [*others, *(_condition(kind, on, found.get(kind), now, reason) for kind, on in wanted.items())]


def _condition(kind: str, on: bool, before: JsonObject | None, now: datetime, reason: str) -> JsonObject:
    status = "True" if on else "False"
    since = dig_str(before, "lastTransitionTime") if dig_str(before, "status") == status else ""
    condition: JsonObject = {"type": kind, "status": status, "lastTransitionTime": since or _at(now)}
    return condition if on else condition | {"reason": reason}


def _completed(started: datetime, now: datetime) -> JsonObject:
    return {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _at(started), "finishedAt": _at(now)}}


def _running_since(pod: JsonObject) -> datetime | None:
    first = next(iter(dig_dicts(pod, "status", "containerStatuses")), None)
    return moment(dig_str(first, "state", "running", "startedAt"))


def _is_ready(pod: JsonObject) -> bool:
    statuses = dig_dicts(pod, "status", "containerStatuses")
    return bool(statuses) and all(dig(s, "ready") is True for s in statuses)


def _ends(pod: JsonObject) -> bool:
    return dig_str(pod, "spec", "restartPolicy") in ("Never", "OnFailure")


def _containers(pod: JsonObject) -> list[JsonObject]:
    return dig_dicts(dig_dict(pod, "spec"), "containers")


def _init(pod: JsonObject) -> list[JsonObject]:
    return dig_dicts(dig_dict(pod, "spec"), "initContainers")


def _left(since: datetime, seconds: float, now: datetime) -> float:
    """Seconds until so many have passed; 0 once they have."""
    return max(0.0, (since + timedelta(seconds=seconds) - now).total_seconds())


def _at(moment_: datetime) -> str:
    return f"{moment_:%Y-%m-%dT%H:%M:%SZ}"
