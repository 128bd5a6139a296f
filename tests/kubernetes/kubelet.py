"""What a kubelet does when its machine comes up: its node joins the cluster, ready, with what the cloud told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from services.chassis.kube import NODES, Conflict, JsonObject, KubeClient, ObjectRef
from services.provisioner.node_facts import taint_object


async def join(
    kube: KubeClient, name: str, labels: Mapping[str, object], taints: Iterable[str] = (), gpus: int = 8
) -> None:
    """A node of that name joins, and is Ready at once."""
    taint_objects = [taint_object(text) for text in taints]
    node: JsonObject = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"taints": taint_objects} if taint_objects else {},
    }
    with suppress(Conflict):  # it is there by an answer that was not heard
        await kube.create(NODES, node)
    await beat(kube, name, gpus)


async def beat(kube: KubeClient, name: str, gpus: int = 8) -> None:
    """The node says that it is well. Kubernetes takes one that has not said so for 40 s for dead."""
    capacity = {"cpu": "24", "memory": "220Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    good: JsonObject = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                        "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip
    status: JsonObject = {"status": {"allocatable": capacity, "capacity": capacity, "conditions": [good]}}
    await kube.merge_patch(ObjectRef(NODES, name), status, subresource="status")


async def leave(kube: KubeClient, name: str) -> None:
    """The machine is gone, and its node with it, as a cloud's controller sees to."""
    await kube.delete(ObjectRef(NODES, name))
