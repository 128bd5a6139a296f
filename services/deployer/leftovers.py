"""What the watches still show of a workspace that is taken down: to look there costs the API server nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.chassis.kube import PODS, JsonObject, Key, Resource, dig_str
from services.contracts.messages import PlanState
from services.contracts.workspace import LABEL_OWNER_UID

Sight = Mapping[Resource, Mapping[Key, JsonObject]]
"""The objects of each resource that is watched."""


def only_waits(sight: Sight, state: PlanState) -> bool:
    """Whether all that is still seen of the workspace is on its way out, and something is.

    Pods go after their StatefulSet by themselves. Where nothing is seen it may be that nothing has been seen yet.
    """
    seen = list(_owned(sight, state.uid))
    return bool(seen) and all(resource == PODS or _is_going(obj) for resource, obj in seen)


def _owned(sight: Sight, uid: str) -> Iterator[tuple[Resource, JsonObject]]:
    for resource, objects in sight.items():
        for obj in objects.values():
            if dig_str(obj, "metadata", "labels", LABEL_OWNER_UID) == uid:
                yield resource, obj


def _is_going(obj: JsonObject) -> bool:
    return bool(dig_str(obj, "metadata", "deletionTimestamp"))
