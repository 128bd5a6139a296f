"""What the watches show of a workspace: to look there costs the API server nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from services.chassis.kube import PODS, JsonObject, Key, Resource, dig_str
from services.contracts.messages import PlanState
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.pods import is_overdue

Sight = Mapping[Resource, Mapping[Key, JsonObject]]
"""The objects of each resource whose watch has shown all that there is."""


def only_waits(sight: Sight, state: PlanState, now: datetime) -> bool:
    """Whether all that is still seen of the workspace is on its way out, and something is.

    Pods go after their StatefulSet by themselves; one whose node is dead is not waited for. Where nothing is seen it
    may be that nothing has been seen yet.
    """
    found = _owned(sight, state.uid)
    seen = [(r, obj) for r, obj in found if not (r == PODS and is_overdue(_ends_by(obj), now))]
    return bool(seen) and all(resource == PODS or _is_going(obj) for resource, obj in seen)


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
