"""What the watches show of a workspace that is taken down."""

from __future__ import annotations

import pytest

from services.chassis.kube import PODS, SERVICES, STATEFULSETS, JsonObject, Resource
from services.contracts.messages import PlanState
from services.contracts.plan import Fixed, Plan, Workload
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.leftovers import only_waits

STATE = PlanState(
    namespace="ns", name="w", uid="mine", generation=1,
    plan=Plan(
        revision=1, generation=1, workload=Workload.INFERENCE, provider="fake", instance_type="A", nodes=1,
        fixed=Fixed(workload=Workload.INFERENCE),
    ),
)  # fmt: skip


def seen(*, owner: str = "mine", going: bool = False) -> JsonObject:
    return {"metadata": {"labels": {LABEL_OWNER_UID: owner}, **({"deletionTimestamp": "now"} if going else {})}}


@pytest.mark.parametrize(
    ("resource", "obj", "waits"),
    [
        (PODS, seen(), True),
        (PODS, seen(going=True), True),
        (STATEFULSETS, seen(going=True), True),
        (STATEFULSETS, seen(), False),
        (SERVICES, seen(), False),
        (PODS, seen(owner="another"), False),
    ],
)
def test_nothing_is_asked_while_all_that_is_seen_goes_by_itself(
    resource: Resource, obj: JsonObject, waits: bool
) -> None:
    assert only_waits({resource: {("ns", "w"): obj}}, STATE) is waits


def test_one_that_must_still_be_deleted_counts_more_than_those_that_go() -> None:
    sight = {PODS: {("ns", "w-0"): seen(going=True)}, STATEFULSETS: {("ns", "w"): seen()}}
    assert not only_waits(sight, STATE)


def test_where_nothing_is_seen_it_is_asked() -> None:
    assert not only_waits({}, STATE)
    assert not only_waits({PODS: {}, STATEFULSETS: {}}, STATE)
