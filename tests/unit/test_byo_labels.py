"""A preferred node gets labels of the workspace, but never another name, zone or kind of machine."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject, dig_dict
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceSpec, Owner
from services.provisioner.providers.byo.choice import choose
from tests.unit.test_byo_choice import SIZE, node

HOSTNAME = "kubernetes.io/hostname"


def spec(labels: dict[str, str]) -> InstanceSpec:
    owner = Owner(namespace="ns", name="w", uid="w")
    return InstanceSpec(name="byo-w-0", owner=owner, instance_type=SIZE, labels=labels, preferred_nodes=("a",))


def named(name: str) -> JsonObject:
    found = node(name)
    dig_dict(found, "metadata", "labels")[HOSTNAME] = name
    return found


def test_a_preferred_node_that_is_what_is_asked_for_is_taken() -> None:
    assert choose([named("a"), named("b")], spec({HOSTNAME: "a", "apps": "phi"})) == named("a")


def test_one_that_is_not_is_not_made_so() -> None:
    with pytest.raises(ProviderError, match=HOSTNAME) as caught:
        choose([named("a")], spec({HOSTNAME: "b", "apps": "phi"}))
    assert caught.value.code is FailureCode.INVALID_REQUEST
