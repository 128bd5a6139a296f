"""What the loop reads off a Node object, and what a node must carry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.base import Contract
from services.contracts.messages import Demand
from services.contracts.workspace import (
    LABEL_OWNER_UID,
    LABEL_PROVIDER,
    LABEL_SIMULATED,
    LABEL_WORKSPACE,
    LABEL_WORKSPACE_NAMESPACE,
)
from services.provisioner.provider import Key, Owner

GPU_RESOURCES: Final = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "aws": "aws.amazon.com/neuron"}
"""The names under which device plugins show accelerators, by their maker."""


class NodeFacts(Contract):
    """A Node, reduced to what decisions are made from. `because` says in the node's words why it is not ready."""

    name: str
    uid: str = ""
    owner: Owner | None = None
    labels: dict[str, str]
    taints: tuple[str, ...] = ()
    gpus: int = 0
    ready: bool = False
    because: str = ""
    created_at: datetime | None = None
    ready_at: datetime | None = None
    not_ready_since: datetime | None = None

    def lacks(self, labels: Mapping[str, str]) -> bool:
        """Whether a label is missing, or has another value."""
        return any(self.labels.get(key) != value for key, value in labels.items())

    def missing_taints(self, taints: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `taints` that the node does not have."""
        return tuple(taint for taint in taints if taint not in self.taints)


def facts(node: JsonObject) -> NodeFacts:
    """Read a Node object."""
    labels = strings(dig_dict(node, "metadata", "labels"))
    ready = next((c for c in dig_dicts(node, "status", "conditions") if c.get("type") == "Ready"), {})
    is_ready = dig_str(ready, "status") == "True"
    changed = moment(dig_str(ready, "lastTransitionTime"))
    allocatable = strings(dig_dict(node, "status", "allocatable"))
    gpus = [allocatable[name] for name in GPU_RESOURCES.values() if name in allocatable]
    return NodeFacts(
        name=dig_str(node, "metadata", "name"),
        uid=dig_str(node, "metadata", "uid"),
        owner=owner_in(labels),
        labels=labels,
        taints=tuple(taint_text(taint) for taint in dig_dicts(node, "spec", "taints")),
        gpus=sum(int(number) for number in gpus if number.isdigit()),
        ready=is_ready,
        because="" if is_ready else dig_str(ready, "message"),
        created_at=moment(dig_str(node, "metadata", "creationTimestamp")),
        ready_at=changed if is_ready else None,
        not_ready_since=None if is_ready else changed,
    )


def demanded_labels(demand: Demand, *, simulated: bool) -> dict[str, str]:
    """The labels that a demand's nodes must carry: the demand's own, and those by which we know them again.

    A node that is shared has no one owner, so it carries only what the demand asks for, and the provider.
    """
    if demand.gpus is not None:
        return demand.labels | {LABEL_PROVIDER: demand.provider}
    ours = {
        LABEL_WORKSPACE: demand.name,
        LABEL_WORKSPACE_NAMESPACE: demand.namespace,
        LABEL_OWNER_UID: demand.uid,
        LABEL_PROVIDER: demand.provider,
    }
    return demand.labels | ours | ({LABEL_SIMULATED: "true"} if simulated else {})


def owner_in(labels: Mapping[str, str]) -> Owner | None:
    """The workspace that labels name, if they name one whole."""
    namespace, name = labels.get(LABEL_WORKSPACE_NAMESPACE), labels.get(LABEL_WORKSPACE)
    uid = labels.get(LABEL_OWNER_UID)
    return Owner(namespace=namespace, name=name, uid=uid) if namespace and name and uid else None


def workspace_of(node: JsonObject) -> Key:
    """Namespace and name of the workspace in a Node's labels; empty where there are none."""
    labels = dig_dict(node, "metadata", "labels")
    return (dig_str(labels, LABEL_WORKSPACE_NAMESPACE), dig_str(labels, LABEL_WORKSPACE))


def taint_text(taint: JsonObject) -> str:
    """A taint as kubectl writes it: key=value:Effect, or key:Effect."""
    value = dig_str(taint, "value")
    return f"{dig_str(taint, 'key')}{f'={value}' if value else ''}:{dig_str(taint, 'effect')}"


def taint_object(text: str) -> JsonObject:
    """The other way round."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    taint: JsonObject = {"key": key, "effect": effect}
    return taint | {"value": value} if value else taint


def strings(found: JsonObject) -> dict[str, str]:
    """The entries of a JSON object whose values are strings, as labels and annotations are."""
    return {key: value for key, value in found.items() if isinstance(value, str)}


def moment(text: str) -> datetime | None:
    """A time as Kubernetes writes it, such as 2026-01-31T12:00:00Z; None if it is none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
