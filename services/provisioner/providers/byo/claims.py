"""A claim on a node: what was put on it, and what was there before, so that it can be given back as it was. Pure.

A claim takes the whole node, or, as a share, some of its GPUs. Shares of several workspaces stand side by side, each in
a record of its own, and change nothing on the node but for labels of ours.

The record stands in an annotation of the node, next to what it tells of: there is no other place that could say
something else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import Field, ValidationError

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.base import Contract
from services.contracts.identity import short_uid
from services.contracts.workspace import LABEL_PROVIDER
from services.provisioner.node_facts import strings, taint_object, taint_text
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Key, Owner

RECORD: Final = "byo.kaito.sh/claim"
SHARE: Final = ".share.byo.kaito.sh/claim"
"""What follows the workspace's short uid in the name of a share's record."""


class Claim(Contract):
    """Who has a node, since when, and what changed on it. `labels` were set; `before` are values that they replaced.

    `gpus` is set for a share: the GPUs that are taken.
    """

    machine: str
    owner: Owner
    size: str
    gpus: int | None = None
    claimed_at: datetime
    labels: dict[str, str] = Field(default_factory=dict)
    before: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()

    @property
    def record(self) -> str:
        """The annotation that it stands in."""
        return RECORD if self.gpus is None else f"{short_uid(self.owner.uid)}{SHARE}"


def claims_of(node: JsonObject) -> tuple[Claim, ...]:
    """All claims on a node: one on the whole, or shares."""
    whole = claim_of(node)
    return (whole,) if whole else shares_of(node)


def shares_of(node: JsonObject) -> tuple[Claim, ...]:
    """The shares of a node, by the names of their records."""
    records = strings(dig_dict(node, "metadata", "annotations"))
    found = (_read(text) for key, text in sorted(records.items()) if key.endswith(SHARE))
    return tuple(claim for claim in found if claim)


def owners_of(node: JsonObject) -> tuple[Key, ...]:
    """The workspaces that have the node, or a part of it."""
    return tuple(claim.owner.key for claim in claims_of(node))


def claim_of(node: JsonObject) -> Claim | None:
    """The claim on a whole node, if there is one. A record that cannot be read is one of a stranger's: see `taken`."""
    return _read(dig_str(node, "metadata", "annotations", RECORD))


def _read(record: str) -> Claim | None:
    try:
        return Claim.model_validate_json(record)
    except ValidationError:
        return None


def taken(node: JsonObject) -> bool:
    """Whether a node carries the record of a claim on the whole, readable or not."""
    return bool(dig_str(node, "metadata", "annotations", RECORD))


def new_claim(node: JsonObject, spec: InstanceSpec, now: datetime) -> Claim:
    """The claim of a machine on a node, with what has to change there."""
    has = strings(dig_dict(node, "metadata", "labels"))
    mine = (LABEL_PROVIDER,) if spec.gpus is not None else ()  # it is common to all shares: the last takes it off
    labels = {key: value for key, value in spec.labels.items() if has.get(key) != value or key in mine}
    there = {taint_text(taint) for taint in dig_dicts(node, "spec", "taints")}
    return Claim(
        machine=spec.name,
        owner=spec.owner,
        size=spec.instance_type,
        gpus=spec.gpus,
        claimed_at=now,
        labels=labels,
        before={key: has[key] for key in labels if key in has and key not in mine},
        taints=tuple(taint for taint in spec.taints if taint not in there),
    )


def claiming(node: JsonObject, claim: Claim) -> JsonObject:
    """The merge patch that puts a claim on a node, if the node is still as it was read."""
    patch = _patch(node, {**claim.labels}, claim.record, claim.to_json().decode())
    if claim.taints:
        added = [taint_object(text) for text in claim.taints]
        patch["spec"] = {"taints": [*dig_dicts(node, "spec", "taints"), *added]}
    return patch


def giving_back(node: JsonObject, claim: Claim) -> JsonObject:
    """The merge patch that takes a claim off. What somebody else has changed since then stays as it is."""
    has = strings(dig_dict(node, "metadata", "labels"))
    kept_by_others = {key for other in claims_of(node) if other.owner != claim.owner for key in other.labels}
    labels: JsonObject = {
        key: claim.before.get(key)
        for key, value in claim.labels.items()
        if has.get(key, value) == value and key not in kept_by_others
    }
    patch = _patch(node, labels, claim.record, None)
    if claim.taints:
        kept = [taint for taint in dig_dicts(node, "spec", "taints") if taint_text(taint) not in claim.taints]
        patch["spec"] = {"taints": kept or None}
    return patch


def _patch(node: JsonObject, labels: JsonObject, record: str, text: str | None) -> JsonObject:
    metadata: JsonObject = {
        "resourceVersion": dig_str(node, "metadata", "resourceVersion"),
        "labels": labels,
        "annotations": {record: text},
    }
    return {"metadata": metadata}


def instance_of(node: JsonObject, claim: Claim, *, extra: bool = False) -> Instance:
    """The machine that a claimed node is. `extra`: another node has the machine's name already."""
    node_name = dig_str(node, "metadata", "name")
    return Instance(
        id=node_name,
        name=f"{claim.machine}.{node_name}" if extra else claim.machine,
        owner=claim.owner,
        instance_type=claim.size,
        created_at=claim.claimed_at,
        launched_at=claim.claimed_at,
        state=InstanceState.RUNNING,
        node_name=node_name,
        gpus=claim.gpus,
    )
