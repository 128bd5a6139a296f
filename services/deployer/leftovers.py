"""What the watches show of a workspace: to look there costs the API server nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from services.chassis.kube import PODS, JsonObject, Key, Resource, dig_int, dig_str
from services.contracts.messages import PlanState
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.pods import is_overdue

Sight = Mapping[Resource, Mapping[Key, JsonObject]]
"""The objects of each resource whose watch has shown all that there is."""


SLOW: Final = timedelta(seconds=10)
"""Most pods have ended by then, and nobody need read of them."""


def only_waits(sight: Sight, state: PlanState, now: datetime) -> bool:
    """Whether all that is still seen of the workspace is on its way out, and something is.

    Pods go after their StatefulSet by themselves; one whose node is dead is not waited for. Where nothing is seen it
    may be that nothing has been seen yet.
    """
    found = _owned(sight, state.uid)
    seen = [(r, obj) for r, obj in found if not (r == PODS and is_overdue(_ends_by(obj), now))]
    return bool(seen) and all(resource == PODS or _is_going(obj) for resource, obj in seen)


def slow_to_end(sight: Sight, state: PlanState, now: datetime) -> str:
    """Which pods are waited for, in words; empty while none takes long. The words stay the same while one waits."""
    words = [told for obj in owned(sight, PODS, state.uid) or () if (told := _slow(obj, now))]
    last = " Where a node says nothing, it is waited for a minute after that, and no longer."
    return f"The workload is gone once these have ended: {'; '.join(words)}.{last}" if words else ""


def _slow(pod: JsonObject, now: datetime) -> str:
    ends_by = _ends_by(pod)
    if ends_by is None or is_overdue(ends_by, now):
        return ""
    told = ends_by - timedelta(seconds=dig_int(pod, "metadata", "deletionGracePeriodSeconds") or 0)
    if now < told + SLOW:
        return ""
    where = f" on node {node}" if (node := dig_str(pod, "spec", "nodeName")) else ""
    name = dig_str(pod, "metadata", "name")
    return f"pod {name}{where}, which was told to end at {_clock(told)} and has until {_clock(ends_by)}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def owned(sight: Sight, resource: Resource, uid: str) -> list[JsonObject] | None:
    """The workspace's objects of one resource, by name. None where its watch has not shown all yet."""
    if resource not in sight:
        return None
    found = sorted(sight[resource].items())
    return [obj for _, obj in found if _owner(obj) == uid]


def _owned(sight: Sight, uid: str) -> Iterator[tuple[Resource, JsonObject]]:
    for resource, objects in sight.items():
        for obj in objects.values():
            if _owner(obj) == uid:
                yield resource, obj


def _owner(obj: JsonObject) -> str:
    return dig_str(obj, "metadata", "labels", LABEL_OWNER_UID)


def _ends_by(pod: JsonObject) -> datetime | None:
    at = dig_str(pod, "metadata", "deletionTimestamp")
    return datetime.fromisoformat(at) if at else None


def _is_going(obj: JsonObject) -> bool:
    return bool(dig_str(obj, "metadata", "deletionTimestamp"))
