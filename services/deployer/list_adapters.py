"""Writes the list of adapters into the cluster, and has the nodes bring it into running pods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.chassis.kube import CONFIGMAPS, Invalid, KubeClient, ObjectRef, dig_str
from services.contracts.messages import PlanState
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.adapters import adapter_list, config_map_name, list_revision
from services.deployer.annotate import annotate
from services.deployer.manifests import adapters_config_map
from services.deployer.pods import Pod

ANNOTATION: Final = "kaito.sh/adapters-revision"
"""Of a pod: the list that it should have by now."""

Delete = Callable[[ObjectRef, str], Awaitable[None]]


async def write_list(kube: KubeClient, state: PlanState, *, manager: str, delete: Delete) -> bool:
    """Write the list. False while the name is an earlier workspace's, whose ConfigMap is deleted then.

    Raises Invalid if somebody else has a ConfigMap of that name: it is not ours to change.
    """
    wanted = adapters_config_map(state)
    if wanted is None:
        return True
    ref = ObjectRef(CONFIGMAPS, config_map_name(state.name), state.namespace)
    found = await kube.get(ref)
    owner = dig_str(found, "metadata", "labels", LABEL_OWNER_UID)
    if found and not owner:
        words = f"ConfigMap {ref.name} is not of this Workspace, which needs that name for its list of adapters."
        raise Invalid(422, "Invalid", f"{words} Rename one of the two.")
    if found and owner != state.uid:
        await delete(ref, owner)
        return False
    await kube.apply(wanted, manager=manager)
    return True


async def hurry_list(kube: KubeClient, state: PlanState, pods: Sequence[Pod]) -> None:
    """Tell each pod's node that the list has changed, by an annotation of the pod.

    A kubelet brings files of ConfigMaps up to date within a minute or two, and sooner when a pod's object changes.
    Where pods may not be written to, it takes as long as it takes.
    """
    text = adapter_list(state)
    if text is None:
        return
    await annotate(kube, state.namespace, pods, ANNOTATION, list_revision(text))
