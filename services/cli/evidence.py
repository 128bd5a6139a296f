"""What Kubernetes knows about a Workspace that fails: warning events, and the last lines of crashed containers."""

from __future__ import annotations

import re

from deploy.local.logs import readable
from services.chassis.kube.errors import KubeError
from services.chassis.kube.objects import EVENTS, PODS, JsonObject, dig, dig_dicts, dig_int, dig_str
from services.chassis.kube.transport import Request
from services.cli.connect import Cluster
from services.cli.why import Note, Words
from services.contracts.workspace import LABEL_WORKSPACE

LAST_LINES = 12
TIMEOUT = 5.0
_POD_SUFFIX = r"-(\d+|[a-z0-9]{5})"
"""A StatefulSet numbers its pods, a Job gives each five random characters."""

RECENT = 20
"""At most so many warnings are looked at; older ones say little about now."""


async def warnings(cluster: Cluster, namespace: str, name: str) -> list[Note]:
    """Warning events about the Workspace's workload and its pods, newest last.

    Those about the Workspace itself are our own, and say what its conditions say.
    """
    found = await cluster.kube.list(EVENTS, namespace=namespace, fields="type=Warning")
    own = [event for event in found.items if is_about(event, name)]
    own.sort(key=_last_seen)
    return [_note(event) for event in own[-RECENT:]]


def is_about(event: JsonObject, workspace: str) -> bool:
    """Whether an event is about the StatefulSet or Job of the same name, or one of its pods."""
    kind, name = dig_str(event, "involvedObject", "kind"), dig_str(event, "involvedObject", "name")
    if kind == "Pod":
        return re.fullmatch(re.escape(workspace) + _POD_SUFFIX, name) is not None
    return kind in ("StatefulSet", "Job") and name == workspace


def _last_seen(event: JsonObject) -> str:
    return dig_str(event, "lastTimestamp") or dig_str(event, "eventTime")


def _note(event: JsonObject) -> Note:
    kind, involved = dig_str(event, "involvedObject", "kind"), dig_str(event, "involvedObject", "name")
    return Note.model_validate(
        {
            "about": f"{kind} {involved}",
            "reason": dig_str(event, "reason"),
            "message": dig_str(event, "message"),
            "last_seen": _last_seen(event) or None,
        }
    )


async def crash_logs(cluster: Cluster, namespace: str, name: str) -> list[Words]:
    """The last lines of each container of the workload that ended with an error."""
    pods = await cluster.kube.list(PODS, namespace=namespace, labels=f"{LABEL_WORKSPACE}={name}")
    found = []
    for pod in pods.items:
        statuses = dig_dicts(pod, "status", "initContainerStatuses") + dig_dicts(pod, "status", "containerStatuses")
        for status in statuses:
            if (text := await _crash_log(cluster, pod, status)) is not None:
                source = f"log of {dig_str(pod, 'metadata', 'name')}, container {dig_str(status, 'name')}"
                found.append(Words(source=source, text=text))
    return found


async def _crash_log(cluster: Cluster, pod: JsonObject, status: JsonObject) -> str | None:
    """The log of the run that failed: the previous one where the container was started again."""
    if dig_int(status, "state", "terminated", "exitCode"):
        return await _log(cluster, pod, dig_str(status, "name"), previous=False)
    if dig_int(status, "lastState", "terminated", "exitCode") and dig(status, "ready") is not True:
        return await _log(cluster, pod, dig_str(status, "name"), previous=True)
    return None


async def _log(cluster: Cluster, pod: JsonObject, container: str, *, previous: bool) -> str | None:
    path = PODS.path(dig_str(pod, "metadata", "namespace"), dig_str(pod, "metadata", "name"), "log")
    query = {"container": container, "tailLines": str(LAST_LINES)} | ({"previous": "true"} if previous else {})
    try:
        async with cluster.transport.open(Request("GET", path, query), TIMEOUT) as response:
            lines = (await response.read()).decode(errors="replace").strip().splitlines()
            return "\n".join(map(readable, lines)) or None
    except KubeError:
        return None  # the log is gone with its node; the condition still says what happened
