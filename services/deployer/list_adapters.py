"""Writes the list of adapters into the cluster, and has the nodes bring it into running pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.chassis.kube import CONFIGMAPS, KubeClient, ObjectRef
from services.contracts.messages import PlanState
from services.deployer.adapters import adapter_list, config_map_name, list_revision
from services.deployer.annotate import annotate
from services.deployer.manifests import adapters_config_map
from services.deployer.names import is_free
from services.deployer.pods import Pod

ANNOTATION: Final = "kaito.sh/adapters-revision"
"""Of a pod: the list that it should have by now."""


async def write_list(kube: KubeClient, state: PlanState, *, manager: str) -> bool:
    """Write the list. False while the name is an earlier workspace's, whose ConfigMap is deleted then.

    Raises Invalid if somebody else has a ConfigMap of that name: it is not ours to change.
    """
    wanted = adapters_config_map(state)
    if wanted is None:
        return True
    ref = ObjectRef(CONFIGMAPS, config_map_name(state.name), state.namespace)
    if not await is_free(kube, ref, await kube.get(ref), state.uid):
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
