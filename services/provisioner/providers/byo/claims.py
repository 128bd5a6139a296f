"""A claim on a node: what was put on it, and what was there before, so that it can be given back as it was. Pure.

The record stands in an annotation of the node, next to what it tells of: there is no other place that could say
something else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import Field, ValidationError

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.base import Contract
from services.provisioner.node_facts import strings, taint_object, taint_text
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Owner

RECORD: Final = "byo.kaito.sh/claim"


class Claim(Contract):
    """Who has a node, since when, and what changed on it. `labels` were set; `before` are values that they replaced."""

    machine: str
    owner: Owner
    size: str
    claimed_at: datetime
    labels: dict[str, str] = Field(default_factory=dict)
    before: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()


def claim_of(node: JsonObject) -> Claim | None:
    """The claim on a node; None where it is free. A record that cannot be read is one of a stranger's: see `taken`."""
    try:
        return Claim.model_validate_json(dig_str(node, "metadata", "annotations", RECORD))
    except ValidationError:
        return None


def taken(node: JsonObject) -> bool:
    """Whether a node carries a record, readable or not."""
    return bool(dig_str(node, "metadata", "annotations", RECORD))


def new_claim(node: JsonObject, spec: InstanceSpec, now: datetime) -> Claim:
    """The claim of a machine on a node, with what has to change there."""
    has = strings(dig_dict(node, "metadata", "labels"))
    labels = {key: value for key, value in spec.labels.items() if has.get(key) != value}
    there = {taint_text(taint) for taint in dig_dicts(node, "spec", "taints")}
    return Claim(
        machine=spec.name,
        owner=spec.owner,
        size=spec.instance_type,
        claimed_at=now,
        labels=labels,
        before={key: has[key] for key in labels if key in has},
        taints=tuple(taint for taint in spec.taints if taint not in there),
    )


def claiming(node: JsonObject, claim: Claim) -> JsonObject:
    """The merge patch that puts a claim on a node, if the node is still as it was read."""
    patch = _patch(node, {**claim.labels}, claim.to_json().decode())
    if claim.taints:
        added = [taint_object(text) for text in claim.taints]
        patch["spec"] = {"taints": [*dig_dicts(node, "spec", "taints"), *added]}
    return patch


def giving_back(node: JsonObject, claim: Claim) -> JsonObject:
    """The merge patch that takes a claim off. What somebody else has changed since then stays as it is."""
    has = strings(dig_dict(node, "metadata", "labels"))
    labels: JsonObject = {
        key: claim.before.get(key) for key, value in claim.labels.items() if has.get(key, value) == value
    }
    patch = _patch(node, labels, None)
    if claim.taints:
        kept = [taint for taint in dig_dicts(node, "spec", "taints") if taint_text(taint) not in claim.taints]
        patch["spec"] = {"taints": kept or None}
    return patch


def _patch(node: JsonObject, labels: JsonObject, record: str | None) -> JsonObject:
    metadata: JsonObject = {
        "resourceVersion": dig_str(node, "metadata", "resourceVersion"),
        "labels": labels,
        "annotations": {RECORD: record},
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
    )
