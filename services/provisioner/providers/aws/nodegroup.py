"""A managed node group of one node: what is sent to EKS to have one, and how one that is there is read."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.workspace import LABEL_OWNER_UID, LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from services.provisioner.node_facts import NodeFacts, moment, owner_in, taint_object
from services.provisioner.parameters import refuse_unknown
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Owner
from services.provisioner.providers.aws.health import Issue, as_failure
from services.provisioner.providers.aws.settings import AwsSettings

NODE_LABEL: Final = "eks.amazonaws.com/nodegroup"
"""The label by which EKS tells which group a node is of."""
TAG_CREATED: Final = "kaito.sh/created-at"

_OURS: Final = re.compile(r"aws-[0-9a-f]{10}-\d+")
_EFFECTS: Final = {
    "NoSchedule": "NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
}
PARAMETERS: Final = ("capacity-type",)
_CAPACITY: Final = {"on-demand": "ON_DEMAND", "spot": "SPOT"}
_IMAGES: Final = {
    ("al2023", "nvidia"): "AL2023_x86_64_NVIDIA",
    ("al2023", "aws"): "AL2023_x86_64_NEURON",
    ("al2023", ""): "AL2023_x86_64_STANDARD",
    ("bottlerocket", "nvidia"): "BOTTLEROCKET_x86_64_NVIDIA",
    ("bottlerocket", ""): "BOTTLEROCKET_x86_64",
}
"""EKS's amiType by image family and maker of the accelerators."""


class Status(StrEnum):
    """The states of a node group, as EKS calls them."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    CREATE_FAILED = "CREATE_FAILED"
    DELETE_FAILED = "DELETE_FAILED"
    DEGRADED = "DEGRADED"


class Health(Contract):
    """What EKS finds wrong with a group."""

    issues: tuple[Issue, ...] = ()


class NodeGroup(Contract):
    """What is read of a group that EKS describes."""

    nodegroup_name: str
    nodegroup_arn: str
    status: Status
    created_at: datetime
    instance_types: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    health: Health = Health()

    @property
    def owner(self) -> Owner | None:
        """The workspace in its tags; None for a group that is not ours."""
        return owner_in(self.tags)


def may_be_ours(name: str) -> bool:
    """Whether a group's name looks like one of ours. Only such groups are looked into; tags decide."""
    return _OURS.fullmatch(name) is not None


def request(spec: InstanceSpec, settings: AwsSettings, vendor: str, now: datetime) -> dict[str, object]:
    """The CreateNodegroup request for a machine whose accelerators are that vendor's ("" for none).

    `spec.name` is legal for EKS as it is: letters, digits and hyphens, under 63 characters. It makes the request
    idempotent: EKS takes a name once. The token is a hash of all the rest, so that the SDK's second try is known as
    such, and a group that is made anew after it was deleted is no repetition. Raises `ProviderError` (InvalidRequest).
    """
    body: dict[str, object] = {
        "clusterName": settings.cluster,
        "nodegroupName": spec.name,
        "scalingConfig": {"minSize": 1, "maxSize": 1, "desiredSize": 1},
        "diskSize": spec.disk_gib or settings.disk_gib,
        "subnets": list(settings.subnets),
        "instanceTypes": [spec.instance_type],
        "amiType": _image(spec.image_family, vendor),
        "nodeRole": settings.node_role,
        "labels": dict(spec.labels),
        "taints": [_taint(text) for text in spec.taints],
        "tags": _tags(spec.owner, now),
        "capacityType": capacity(spec.parameters),
    }
    token = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
    return body | {"clientRequestToken": token}


def _tags(owner: Owner, now: datetime) -> dict[str, str]:
    return {
        LABEL_OWNER_UID: owner.uid,
        LABEL_WORKSPACE: owner.name,
        LABEL_WORKSPACE_NAMESPACE: owner.namespace,
        TAG_CREATED: now.isoformat(timespec="seconds"),
    }


def _image(family: str | None, vendor: str) -> str:
    chosen = ((family or "al2023").lower(), vendor if vendor in ("nvidia", "aws") else "")
    if chosen not in _IMAGES:
        known = ", ".join(sorted({name for name, maker in _IMAGES if maker == chosen[1]}))
        text = f"EKS has no node image of family {family!r} for this size; kaito.sh/node-image-family can be {known}"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)
    return _IMAGES[chosen]


def _taint(text: str) -> dict[str, object]:
    taint = taint_object(text)
    effect = str(taint["effect"])
    if effect not in _EFFECTS:
        raise ProviderError(FailureCode.INVALID_REQUEST, f"taint {text!r}: the effect is none of {', '.join(_EFFECTS)}")
    return {**taint, "effect": _EFFECTS[effect]}


def capacity(parameters: dict[str, str]) -> str:
    """EKS's capacityType. Raises `ProviderError` (InvalidRequest) for a parameter or a word that says nothing."""
    refuse_unknown("aws", parameters, PARAMETERS)
    wanted = parameters.get("capacity-type", "on-demand")
    if wanted not in _CAPACITY:
        text = f"aws.kaito.sh/capacity-type: {wanted!r} is none of {', '.join(_CAPACITY)}"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)
    return _CAPACITY[wanted]


def instance_of(group: NodeGroup, owner: Owner, node: NodeFacts | None) -> Instance:
    """The machine as the loop sees it. `node` is the group's node, once it has joined."""
    size = group.instance_types[0] if group.instance_types else ""
    failure = as_failure(group.health.issues, group.status, size)
    state = _state(group.status, node is not None, blocked=failure is not None and failure.terminal)
    return Instance(
        id=group.nodegroup_arn,
        name=group.nodegroup_name,
        owner=owner,
        instance_type=size,
        created_at=_created(group),
        # EKS does not tell when the machine was launched. That it has joined is the first that is seen of it.
        launched_at=node.created_at if node else None,
        state=state,
        detail=_detail(group),
        failure=failure if state is InstanceState.FAILED else None,
        node_name=node.name if node else None,
    )


def _created(group: NodeGroup) -> datetime:
    """By our own clock, which deadlines are counted with: AWS's may go differently."""
    own = moment(group.tags.get(TAG_CREATED, ""))
    return own if own and own.tzinfo else group.created_at


def _state(status: Status, joined: bool, *, blocked: bool) -> InstanceState:
    """A node that has joined runs, though EKS calls its group CREATING for a while, or DEGRADED.

    Where none has, what EKS goes on trying in vain for half an hour is over as soon as it says why.
    """
    if status is Status.DELETING:
        return InstanceState.DELETING
    if status in (Status.CREATE_FAILED, Status.DELETE_FAILED) or (blocked and not joined):
        return InstanceState.FAILED
    if status is Status.CREATING and not joined:
        return InstanceState.CREATING
    return InstanceState.RUNNING


def _detail(group: NodeGroup) -> str:
    words = "; ".join(issue.text for issue in group.health.issues)
    return f"is {group.status} at EKS{f' ({words})' if words else ''}"
