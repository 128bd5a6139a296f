"""Writes annotations to running pods, from where their nodes take them into files of the pods."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.chassis.kube import PODS, Conflict, Forbidden, Invalid, KubeClient, NotFound, ObjectRef
from services.deployer.pods import Pod

log = logging.getLogger(__name__)


async def annotate(kube: KubeClient, namespace: str, pods: Sequence[Pod], name: str, value: str) -> None:
    """Give each pod that annotation. One that has it is not written to.

    Where pods may not be written to, that is logged.
    """
    for pod in pods:
        if pod.metadata.annotations.get(name) == value or pod.metadata.deletion_timestamp:
            continue
        ref = ObjectRef(PODS, pod.metadata.name, namespace)
        try:
            await kube.merge_patch(ref, {"metadata": {"uid": pod.metadata.uid, "annotations": {name: value}}})
        except (Conflict, Forbidden, Invalid, NotFound) as error:
            log.info("pod %s does not get annotation %s: %s", pod.metadata.name, name, error)
