"""The NodeClaim that a wanted machine is. Pure. A claim's spec cannot be changed: another size is another claim."""

from __future__ import annotations

import hashlib
from typing import Final

from services.chassis.kube import JsonObject, Resource
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.workspace import (
    ANNOTATION_NODE_IMAGE_FAMILY,
    LABEL_OWNER_UID,
    LABEL_PROVIDER,
    LABEL_WORKSPACE,
    LABEL_WORKSPACE_NAMESPACE,
)
from services.provisioner.node_facts import taint_object
from services.provisioner.parameters import refuse_unknown
from services.provisioner.provider import InstanceSpec
from services.provisioner.providers.karpenter.node_class import NodeClass

NODECLAIMS: Final = Resource("karpenter.sh", "v1", "nodeclaims", "NodeClaim", namespaced=False)
PROVIDER: Final = "karpenter"
NODE_POOL: Final = "karpenter.sh/nodepool"
POOL: Final = "kaito"
MACHINE: Final = "kaito.sh/machine"
"""Carries `InstanceSpec.name`. Controllers put a claim's labels on its node, so it also tells whose node that is."""
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
PARAMETERS: Final = ("capacity-type", "zone")
CAPACITY_TYPES: Final = ("on-demand", "spot", "reserved")
DEFAULT_DISK_GIB: Final = 1024
"""Asked of a controller that insists on a disk size, where the plan names none; KAITO asks for as much."""


def claim_name(machine: str, node_class: NodeClass) -> str:
    """The claim's name: the machine's own, or one that an agent pool may have, always the same for one machine."""
    return f"ws{hashlib.sha256(machine.encode()).hexdigest()[:10]}" if node_class.pool_names else machine


def new_claim(spec: InstanceSpec, node_class: NodeClass) -> JsonObject:
    """The claim. Raises `ProviderError` (InvalidRequest) for a parameter that says nothing."""
    refuse_unknown(PROVIDER, spec.parameters, PARAMETERS)
    annotations: JsonObject = {"karpenter.sh/do-not-disrupt": "true"}
    if spec.image_family:
        annotations[ANNOTATION_NODE_IMAGE_FAMILY] = spec.image_family
    return {
        "apiVersion": NODECLAIMS.api_version,
        "kind": NODECLAIMS.kind,
        "metadata": {
            "name": claim_name(spec.name, node_class),
            "labels": _labels(spec),
            "annotations": annotations,
        },
        "spec": {
            "nodeClassRef": {"group": node_class.group, "kind": node_class.kind, "name": node_class.name},
            "requirements": requirements(spec, node_class),
            "taints": [taint_object(text) for text in spec.taints],
            "expireAfter": "Never",
            **_resources(spec, node_class),
        },
    }


def requirements(spec: InstanceSpec, node_class: NodeClass) -> list[JsonObject]:
    """What the machine must be. The parameters `capacity-type` and `zone` may name several, with commas between.

    Without `capacity-type` it is on-demand: left open, Karpenter takes what is cheapest, and that is spot.
    """
    wanted = {
        NODE_POOL: (POOL,),
        INSTANCE_TYPE: (spec.instance_type,),
        "kubernetes.io/os": ("linux",),
        "karpenter.sh/capacity-type": _capacity_types(spec),
        "topology.kubernetes.io/zone": _listed(spec.parameters.get("zone", "")),
    } | dict.fromkeys(node_class.size_labels, (spec.instance_type,))
    found: list[JsonObject] = [
        {"key": key, "operator": "In", "values": list(values)} for key, values in wanted.items() if values
    ]
    if node_class.needs_gpu:
        found.append({"key": node_class.needs_gpu, "operator": "Gt", "values": ["0"]})
    return found


def _labels(spec: InstanceSpec) -> JsonObject:
    owner = {
        LABEL_WORKSPACE: spec.owner.name,
        LABEL_WORKSPACE_NAMESPACE: spec.owner.namespace,
        LABEL_OWNER_UID: spec.owner.uid,
    }
    return {**spec.labels, **owner, LABEL_PROVIDER: PROVIDER, NODE_POOL: POOL, MACHINE: spec.name}


def _resources(spec: InstanceSpec, node_class: NodeClass) -> JsonObject:
    gib = spec.disk_gib or (DEFAULT_DISK_GIB if node_class.pool_names else 0)
    return {"resources": {"requests": {node_class.disk_request: f"{gib}Gi"}}} if gib else {}


def _capacity_types(spec: InstanceSpec) -> tuple[str, ...]:
    found = _listed(spec.parameters.get("capacity-type", "on-demand"))
    if not found or not set(found) <= set(CAPACITY_TYPES):
        text = f"karpenter.kaito.sh/capacity-type: {','.join(found)!r} is none of {', '.join(CAPACITY_TYPES)}"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)
    return found


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (p.strip() for p in text.split(",")) if part)
