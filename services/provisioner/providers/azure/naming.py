"""What a pool is called, and how it says whose it is. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from services.provisioner.node_facts import moment
from services.provisioner.provider import InstanceSpec, Owner

AGENT_POOL: Final = "kubernetes.azure.com/agentpool"
"""The label by which AKS says on a node of which pool it is."""
INSTANCE_LABEL: Final = "kaito.sh/instance"
CREATED_LABEL: Final = "kaito.sh/created-at"

# A tag's name must not have a slash, so the labels' prefix ends in an underscore here.
_NAMESPACE: Final = "kaito.sh_workspacenamespace"
_NAME: Final = "kaito.sh_workspace"
_UID: Final = "kaito.sh_workspace-uid"
_INSTANCE: Final = "kaito.sh_instance"
_CREATED: Final = "kaito.sh_created-at"


def pool_name(instance: str) -> str:
    """The pool of a machine: 12 characters, as AKS allows (^[a-z][a-z0-9]{0,11}$); the same wherever derived."""
    return "kb" + hashlib.sha256(instance.encode()).hexdigest()[:10]


def tags(spec: InstanceSpec, now: datetime) -> dict[str, str]:
    """The tags of a new pool. The time is among them since AKS does not tell it."""
    return {
        _NAMESPACE: spec.owner.namespace,
        _NAME: spec.owner.name,
        _UID: spec.owner.uid,
        _INSTANCE: spec.name,
        _CREATED: f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def labels(spec: InstanceSpec, now: datetime) -> dict[str, str]:
    """The labels that the node joins with. AKS keeps some prefixes to itself; those are put on later by the loop."""
    given = {key: value for key, value in spec.labels.items() if not _is_reserved(key)}
    created = f"{now.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}"
    return given | {INSTANCE_LABEL: spec.name, CREATED_LABEL: created}


def owner_in(found: Mapping[str, str]) -> Owner | None:
    """The workspace that a pool's tags name; None if it is no pool of ours."""
    namespace, name, uid = found.get(_NAMESPACE), found.get(_NAME), found.get(_UID)
    return Owner(namespace=namespace, name=name, uid=uid) if namespace and name and uid else None


def instance_in(found: Mapping[str, str]) -> str:
    """The machine that a pool's tags name; empty if it is no pool of ours."""
    return found.get(_INSTANCE, "")


def created_in(found: Mapping[str, str]) -> datetime | None:
    """When the pool was asked for."""
    at = moment(found.get(_CREATED, ""))
    return at if at and at.tzinfo else None


def _is_reserved(key: str) -> bool:
    prefix = key.rpartition("/")[0]
    return any(prefix == domain or prefix.endswith(f".{domain}") for domain in ("azure.com", "kubernetes.io", "k8s.io"))
