"""Whose an object in the cluster is. What is not of the Workspace is neither changed nor deleted."""

from __future__ import annotations

import logging

from services.chassis.kube import Conflict, Invalid, JsonObject, KubeClient, NotFound, ObjectRef, dig_str
from services.contracts.workspace import LABEL_OWNER_UID

log = logging.getLogger(__name__)


async def is_free(kube: KubeClient, ref: ObjectRef, found: JsonObject | None, uid: str) -> bool:
    """Whether an object of that name may be made, or changed. `found` is the one that has the name now.

    An earlier workspace's is deleted, and waited for. Raises Invalid if it is somebody else's: a forced apply would
    make it ours, and it would be deleted with the Workspace.
    """
    if found is None:
        return True
    if dig_str(found, "metadata", "deletionTimestamp"):
        return False
    check_owner(ref, found)
    owner = _owner(found)
    if owner != uid:
        await delete_owned(kube, ref, owner)
    return owner == uid


def check_owner(ref: ObjectRef, found: JsonObject) -> None:
    """Raises Invalid if the object that has that name is of no Workspace, unless it is on its way out."""
    if not _owner(found) and not dig_str(found, "metadata", "deletionTimestamp"):
        words = f"{ref.resource.kind} {ref.name} is not of this Workspace, which needs that name."
        raise Invalid(422, "Invalid", f"{words} Rename one of the two.")


async def get_owned(kube: KubeClient, ref: ObjectRef, uid: str) -> JsonObject | None:
    """The object, if it belongs to that workspace."""
    found = await kube.get(ref)
    return found if _owner(found) == uid else None


async def delete_owned(kube: KubeClient, ref: ObjectRef, uid: str) -> None:
    """Delete an object if it belongs to that workspace, and is that very object."""
    found = await get_owned(kube, ref, uid)
    if found is None or dig_str(found, "metadata", "deletionTimestamp"):
        return
    try:
        await kube.delete(ref, uid=dig_str(found, "metadata", "uid"))
    except (Conflict, NotFound) as error:
        log.info("%s not deleted: %s", ref, error)


def _owner(obj: JsonObject | None) -> str:
    return dig_str(obj, "metadata", "labels", LABEL_OWNER_UID)
