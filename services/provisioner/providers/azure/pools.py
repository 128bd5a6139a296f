"""The agent pool that is asked for, and what a pool that exists says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from azure.mgmt.containerservice.models import (
    AgentPool,
    AgentPoolManagedClusterAgentPoolProfileProperties,
)

from services.contracts.errors import Failure, FailureCode, ProviderError
from services.provisioner.node_facts import NodeFacts
from services.provisioner.provider import Instance, InstanceSpec, InstanceState
from services.provisioner.providers.azure import naming
from services.provisioner.providers.azure.market import Market
from services.provisioner.providers.azure.parameters import Wishes
from services.provisioner.providers.azure.refusal import Refusal, read
from services.provisioner.providers.azure.settings import AzureSettings

FAMILIES: Final = {"ubuntu": "Ubuntu", "azurelinux": "AzureLinux"}
SMALLEST_DISK: Final = 30
LARGEST_DISK: Final = 2048
"""GiB: what AKS takes for osDiskSizeGB."""
FAILED: Final = frozenset({"failed", "canceled"})


def new_pool(spec: InstanceSpec, wishes: Wishes, settings: AzureSettings, market: Market, now: datetime) -> AgentPool:
    """What is sent. Raises `ProviderError` (InvalidRequest) for an image family or disk that AKS does not have."""
    disk = _disk_gib(spec)
    properties = AgentPoolManagedClusterAgentPoolProfileProperties(
        count=1,
        vm_size=spec.instance_type,
        type_properties_type="VirtualMachineScaleSets",
        mode="User",
        os_type="Linux",
        os_sku=_family(spec),
        os_disk_size_gb=disk,
        os_disk_type=wishes.disk or market.disk_type(spec.instance_type, disk),
        vnet_subnet_id=settings.subnet_id or None,
        availability_zones=list(wishes.zones) or None,
        tags=naming.tags(spec, now),
        node_labels=naming.labels(spec, now),
        node_taints=list(spec.taints) or None,
    )
    if wishes.spot:
        # One that is taken away is deleted: the loop makes another.
        properties.scale_set_priority = "Spot"
        properties.scale_set_eviction_policy = "Delete"
        properties.spot_max_price = wishes.max_price
    return AgentPool(properties=properties)


def _family(spec: InstanceSpec) -> str | None:
    if not spec.image_family:
        return None
    if (found := FAMILIES.get(spec.image_family.lower())) is None:
        text = f"kaito.sh/node-image-family: AKS has no {spec.image_family!r}; use {' or '.join(FAMILIES)}"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)
    return found


def _disk_gib(spec: InstanceSpec) -> int | None:
    if spec.disk_gib > LARGEST_DISK:
        text = f"an AKS node's disk has {LARGEST_DISK} GiB at most, {spec.disk_gib} GiB are wanted"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)
    return max(SMALLEST_DISK, spec.disk_gib) if spec.disk_gib else None


def tags_of(pool: AgentPool) -> dict[str, str]:
    """A pool's tags."""
    return dict(pool.properties.tags or {}) if pool.properties else {}


def is_ours(pool: AgentPool) -> bool:
    """Whether a pool is a machine of ours: other people's pools are never looked at any further."""
    return naming.owner_in(tags_of(pool)) is not None and bool(naming.instance_in(tags_of(pool)))


def status_of(pool: AgentPool) -> str:
    """The provisioning state in lower case: creating, succeeded, failed, deleting, updating, ..."""
    return str((pool.properties.provisioning_state if pool.properties else None) or "").lower()


def is_failed(pool: AgentPool) -> bool:
    """Whether the last operation on the pool has failed."""
    return status_of(pool) in FAILED


def is_creating(pool: AgentPool) -> bool:
    """Whether the pool is said to be in the making. Its operation may know better."""
    return status_of(pool) in ("", "creating")


def own_error(pool: AgentPool) -> Refusal | None:
    """The error that AKS keeps with a pool (status.provisioningError), if it does."""
    status = pool.properties.status if pool.properties else None
    error = status.provisioning_error if status else None
    found = read(error.as_dict()) if error else None
    return found if found and found.text else None


def instance_of(pool: AgentPool, node: NodeFacts | None, error: Refusal | None, now: datetime) -> Instance:
    """The machine that a pool of ours is. Raises ValueError for a pool of somebody else's.

    AKS calls a pool Creating until its node has joined and its drivers are set up. That the machine itself was
    launched is first seen by its node.
    """
    tags = tags_of(pool)
    owner = naming.owner_in(tags)
    if owner is None or pool.properties is None:
        raise ValueError(f"agent pool {pool.name} carries no workspace")
    joined = node.created_at if node else None
    created = naming.created_in(tags) or joined or now
    state = _state(pool, node, failed=error is not None)
    size = pool.properties.vm_size or ""
    return Instance(
        id=pool.name or naming.pool_name(naming.instance_in(tags)),
        name=naming.instance_in(tags),
        owner=owner,
        instance_type=size,
        created_at=created,
        launched_at=joined if state is InstanceState.RUNNING else None,
        state=state,
        detail=_detail(pool, state),
        failure=_failure(pool, error, size) if state is InstanceState.FAILED else None,
        node_name=node.name if node else None,
    )


def _state(pool: AgentPool, node: NodeFacts | None, *, failed: bool) -> InstanceState:
    """A node that shows GPUs works, even if a later operation on its pool, such as an upgrade, has failed."""
    status = status_of(pool)
    if status == "deleting":
        return InstanceState.DELETING
    if status in FAILED or failed:
        return InstanceState.RUNNING if node and node.gpus else InstanceState.FAILED
    running = status == "succeeded" or node is not None
    return InstanceState.RUNNING if running else InstanceState.CREATING


def _detail(pool: AgentPool, state: InstanceState) -> str:
    status = (pool.properties.provisioning_state if pool.properties else None) or "unknown"
    power = pool.properties.power_state if pool.properties else None
    if power and str(power.code) == "Stopped":
        return f"agent pool {pool.name} is stopped"
    return "" if state is InstanceState.RUNNING and status == "Succeeded" else f"agent pool {pool.name} is {status}"


def _failure(pool: AgentPool, error: Refusal | None, size: str) -> Failure:
    if error is None:
        status = pool.properties.provisioning_state if pool.properties else "Failed"
        text = f"agent pool {pool.name} is {status}, and Azure does not say why; the cluster's activity log may"
        return Failure(code=FailureCode.INTERNAL, message=text, instance_type=size)
    return Failure(code=error.code(), message=error.text, instance_type=size)
