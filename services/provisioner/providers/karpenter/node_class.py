"""Node classes: how a controller knows its cloud. Which there are, what each needs of a claim, and whether one is fit.

Facts: Azure's gpu-provisioner makes one agent pool of each claim and takes the claim's name for it, so the name must
match `^[a-z][a-z0-9]{0,11}$`; it sizes the disk by the request `storage`. Karpenter itself compares each request with
what a machine has, and machines have `ephemeral-storage`: a request for `storage` would fit none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.chassis.kube import JsonObject, dig_dicts, dig_str

VERSIONS: Final = ("v1", "v1beta1", "v1beta2", "v1alpha1", "v1alpha2")
"""Served versions are looked for in this order: only name and conditions are read, alike in all of them."""


@dataclass(frozen=True)
class NodeClass:
    """A node class by group, kind and name. `brought_by` says what to install where the kind is missing."""

    group: str
    kind: str
    name: str
    skus: str | None = None
    """The table in `presets/` of the sizes that its cloud has."""
    size_labels: tuple[str, ...] = ()
    """Further labels by which its cloud is asked for a size."""
    needs_gpu: str | None = None
    """A label that its cloud puts on machines with GPUs: their number."""
    pool_names: bool = False
    """Whether claims are named as agent pools are."""
    brought_by: str = "the Karpenter controller of your cloud"

    @property
    def disk_request(self) -> str:
        """The name under which a claim asks for disk."""
        return "storage" if self.pool_names else "ephemeral-storage"

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


KNOWN: Final = {
    node_class.kind: node_class
    for node_class in (
        NodeClass(
            "kaito.sh", "KaitoNodeClass", "default", skus="azure", size_labels=("karpenter.azure.com/sku-name",),
            pool_names=True, brought_by="the chart of Azure's gpu-provisioner",
        ),
        NodeClass(
            "karpenter.azure.com", "AKSNodeClass", "default", skus="azure",
            size_labels=("karpenter.azure.com/sku-name",),
            brought_by="Karpenter for Azure (on AKS: switch on node auto-provisioning)",
        ),
        NodeClass(
            "karpenter.k8s.aws", "EC2NodeClass", "default", skus="aws",
            needs_gpu="karpenter.k8s.aws/instance-gpu-count", brought_by="Karpenter for AWS",
        ),
    )
}  # fmt: skip


def parse(text: str) -> NodeClass:
    """A known kind, such as `EC2NodeClass`, or `group/Kind/name`. Raises ValueError for anything else."""
    if known := KNOWN.get(text):
        return known
    group, kind, name = parts if len(parts := text.split("/")) == 3 else ("", "", "")
    if not (group and kind and name):
        raise ValueError(f"{text!r} is no node class: write one of {', '.join(KNOWN)}, or group/Kind/name")
    base = KNOWN.get(kind)
    if base is None or base.group != group:
        return NodeClass(group, kind, name)
    return NodeClass(**{**vars(base), "name": name})


def unfit(node_class: JsonObject) -> str | None:
    """Why a node class must not be used now, in its controller's words. One without a Ready condition is fit."""
    for condition in dig_dicts(node_class, "status", "conditions"):
        if dig_str(condition, "type") == "Ready" and dig_str(condition, "status") != "True":
            words = [dig_str(condition, field) for field in ("reason", "message")]
            return ": ".join(word for word in words if word) or "no reason given"
    return None
