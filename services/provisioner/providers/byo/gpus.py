"""What a node's GPUs are, and the name under which nodes like it are offered. Pure.

Facts are read from the labels of GPU Feature Discovery (part of NVIDIA's GPU operator), such as
`nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB`, `.count=4`, `.memory=81920` (MiB of one GPU), `.compute.major=8`, and
from the capacity that the device plugin shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from services.chassis.kube import JsonObject, dig_dict
from services.contracts.base import Contract
from services.contracts.offers import Offer
from services.provisioner.node_facts import strings

RESOURCE: Final = "nvidia.com/gpu"
PRODUCT: Final = "nvidia.com/gpu.product"
COUNT: Final = "nvidia.com/gpu.count"
MEMORY: Final = "nvidia.com/gpu.memory"
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
NO_SIZE: Final = frozenset({"", "k3s", "rke2", "k0s", "kind", "unknown"})
"""What distributions write into the instance type of any machine: it says nothing about this one."""

_NOISE: Final = re.compile(r"^(NVIDIA|Tesla|Quadro)-|-(SXM\d*|PCIE|PCIe|HBM\d\w*|NVL\d*)(?=-|$)")
_QUANTITY: Final = re.compile(r"^([0-9.]+)([a-zA-Z]*)$")
_GIB: Final = {
    "": 2**-30, "k": 1e3 / 2**30, "M": 1e6 / 2**30, "G": 1e9 / 2**30, "T": 1e12 / 2**30,
    "Ki": 2**-20, "Mi": 2**-10, "Gi": 1.0, "Ti": 2.0**10,
}  # fmt: skip


class Machine(Contract):
    """A node's hardware. `gpu_memory_gib` is that of one GPU."""

    size: str
    gpus: int
    gpu_model: str
    gpu_memory_gib: float
    compute_capability: float | None = None
    cpu: int | None = None
    memory_gib: float | None = None

    def offer(self, available: int, free_gpus: int) -> Offer:
        """As an offer, of which there are so many whole nodes, and at most so many GPUs on one."""
        return Offer(
            instance_type=self.size,
            gpus=self.gpus,
            gpu_model=self.gpu_model,
            gpu_memory_gib=self.gpu_memory_gib,
            cuda_compute_capability=self.compute_capability,
            cpu=self.cpu,
            memory_gib=self.memory_gib,
            available=available,
            shared=True,
            free_gpus=free_gpus,
            ready_seconds=0,
        )


def machine_of(node: JsonObject) -> Machine | None:
    """A node's hardware; None where it has no GPU, or its labels do not say which."""
    labels = strings(dig_dict(node, "metadata", "labels"))
    gpus, memory = gpus_of(node), labels.get(MEMORY, "")
    if gpus == 0 or not labels.get(PRODUCT) or not memory.isdigit():
        return None
    capacity = strings(dig_dict(node, "status", "capacity"))
    host = quantity_gib(capacity.get("memory", ""))
    return Machine(
        size=size_of(labels, gpus),
        gpus=gpus,
        gpu_model=model_of(labels[PRODUCT]),
        gpu_memory_gib=int(memory) / 1024,
        compute_capability=_compute_capability(labels),
        cpu=int(capacity["cpu"]) if capacity.get("cpu", "").isdigit() else None,
        memory_gib=round(host, 1) if host else None,
    )


def gpus_of(node: JsonObject) -> int:
    """The number of GPUs, from the capacity; before the device plugin has told it, from the label."""
    shown = strings(dig_dict(node, "status", "capacity")).get(RESOURCE, "")
    counted = strings(dig_dict(node, "metadata", "labels")).get(COUNT, "")
    return next((int(number) for number in (shown, counted) if number.isdigit() and int(number)), 0)


def size_of(labels: Mapping[str, str], gpus: int) -> str:
    """The node's instance type, or a name made of its GPUs, such as byo-A100-80GB-x4."""
    named = labels.get(INSTANCE_TYPE, "")
    return f"byo-{model_of(labels[PRODUCT])}-x{gpus}" if named.lower() in NO_SIZE else named


def model_of(product: str) -> str:
    """A product without its maker and its socket: NVIDIA-A100-SXM4-80GB is A100-80GB."""
    return _NOISE.sub("", _NOISE.sub("", product)) or product


def quantity_gib(text: str) -> float | None:
    """An amount of memory as Kubernetes writes it, such as 263856984Ki, in GiB; None if it is none."""
    found = _QUANTITY.match(text)
    scale = _GIB.get(found[2]) if found else None
    return float(found[1]) * scale if found and scale else None


def _compute_capability(labels: Mapping[str, str]) -> float | None:
    major, minor = (labels.get(f"nvidia.com/gpu.compute.{part}", "") for part in ("major", "minor"))
    return float(f"{major}.{minor}") if major.isdigit() and minor.isdigit() else None
