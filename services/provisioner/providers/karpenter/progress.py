"""How far a NodeClaim is: its conditions Launched, Registered and Initialized as a machine's state. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.errors import Failure
from services.provisioner.node_facts import moment, owner_in, strings
from services.provisioner.provider import Instance, InstanceState
from services.provisioner.providers.karpenter.claim import INSTANCE_TYPE, MACHINE
from services.provisioner.providers.karpenter.reasons import code_of, is_trouble, words

STEPS: Final = ("Launched", "Registered", "Initialized")
UNTOUCHED: Final = ("", "AwaitingReconciliation")
"""The reasons of a condition that its controller has only put there."""


def instance_of(claim: JsonObject, joined: str | None) -> Instance | None:
    """The machine that a claim stands for; None for a claim without an owner, which is none of ours.

    `joined` is the node that carries the machine's label. It is known before the claim's status names its node.
    """
    labels = strings(dig_dict(claim, "metadata", "labels"))
    owner = owner_in(labels)
    if owner is None or MACHINE not in labels:
        return None
    launched = _conditions(claim).get("Launched", {})
    up = dig_str(launched, "status") == "True"
    return Instance(
        id=dig_str(claim, "metadata", "name"),
        name=labels[MACHINE],
        owner=owner,
        instance_type=size_of(claim),
        created_at=moment(dig_str(claim, "metadata", "creationTimestamp")) or datetime.now(UTC),
        launched_at=moment(dig_str(launched, "lastTransitionTime")) if up else None,
        state=_state(claim, launched=up),
        detail=_detail(claim),
        failure=failure_of(claim),
        node_name=dig_str(claim, "status", "nodeName") or joined,
    )


def failure_of(claim: JsonObject) -> Failure | None:
    """What the launch, or the registration, says when it has failed.

    A claim that is being taken down has nothing left to fail, and whether a node that has joined gets ready is seen
    on the node itself: Initialized is no more than what the loop looks at anyway.
    """
    if dig_str(claim, "metadata", "deletionTimestamp"):
        return None
    conditions = _conditions(claim)
    launched, registered = conditions.get("Launched", {}), conditions.get("Registered", {})
    if launched and is_trouble(dig_str(launched, "status"), dig_str(launched, "reason")):
        return _failure(claim, launched)
    if dig_str(registered, "status") == "False" and dig_str(registered, "reason") != "NodeNotFound":
        return _failure(claim, registered)
    return None


def _failure(claim: JsonObject, condition: JsonObject) -> Failure:
    reason, message = dig_str(condition, "reason"), dig_str(condition, "message")
    return Failure(code=code_of(reason, message), message=words(reason, message), instance_type=size_of(claim))


def size_of(claim: JsonObject) -> str:
    """The size that a claim asks for."""
    for requirement in dig_dicts(claim, "spec", "requirements"):
        values = requirement.get("values")
        if requirement.get("key") == INSTANCE_TYPE and isinstance(values, list) and values:
            return str(values[0])
    return ""


def _state(claim: JsonObject, *, launched: bool) -> InstanceState:
    if dig_str(claim, "metadata", "deletionTimestamp"):
        return InstanceState.DELETING
    if failure_of(claim):
        return InstanceState.FAILED
    return InstanceState.RUNNING if launched else InstanceState.CREATING


def _detail(claim: JsonObject) -> str:
    """What a claim that is on its way waits for, in words that stay the same while it waits for the same."""
    if dig_str(claim, "metadata", "deletionTimestamp"):
        return "is being taken down"
    conditions = _conditions(claim)
    if not conditions:
        return "waits for the Karpenter controller, which has not taken note of it"
    for step in STEPS:
        condition = conditions.get(step, {})
        if dig_str(condition, "status") != "True":
            reason, message = dig_str(condition, "reason"), dig_str(condition, "message")
            told = "" if reason in (*UNTOUCHED, step) else f" ({words(reason, message)})"
            return f"is not {step.lower()} yet{told}"
    return ""


def _conditions(claim: JsonObject) -> dict[str, JsonObject]:
    return {dig_str(c, "type"): c for c in dig_dicts(claim, "status", "conditions")}
