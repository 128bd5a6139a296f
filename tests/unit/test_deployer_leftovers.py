"""What the watches show of a workspace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.kube import PODS, SERVICES, STATEFULSETS, JsonObject, Resource
from services.contracts.messages import PlanState
from services.contracts.plan import Fixed, Plan, Workload
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.leftovers import only_waits, owned, slow_to_end

NOW = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
STATE = PlanState(
    namespace="ns", name="w", uid="mine", generation=1,
    plan=Plan(
        revision=1, generation=1, workload=Workload.INFERENCE, provider="fake", instance_type="A", nodes=1,
        fixed=Fixed(workload=Workload.INFERENCE),
    ),
)  # fmt: skip


def seen(*, owner: str = "mine", going: bool = False) -> JsonObject:
    return {
        "metadata": {
            "labels": {LABEL_OWNER_UID: owner},
            **({"deletionTimestamp": "2026-01-01T12:00:00Z"} if going else {}),
        }
    }


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
    assert only_waits({resource: {("ns", "w"): obj}}, STATE, NOW) is waits


def test_one_that_must_still_be_deleted_counts_more_than_those_that_go() -> None:
    sight = {PODS: {("ns", "w-0"): seen(going=True)}, STATEFULSETS: {("ns", "w"): seen()}}
    assert not only_waits(sight, STATE, NOW)


def test_where_nothing_is_seen_it_is_asked() -> None:
    assert not only_waits({}, STATE, NOW)
    assert not only_waits({PODS: {}, STATEFULSETS: {}}, STATE, NOW)


def test_a_pod_whose_node_is_dead_is_not_waited_for() -> None:
    sight = {PODS: {("ns", "w-0"): seen(going=True)}}
    assert only_waits(sight, STATE, NOW)
    assert not only_waits(sight, STATE, NOW + timedelta(minutes=1))


def test_the_objects_of_one_workspace_come_by_name() -> None:
    first, second = seen(), seen(going=True)
    pods = {("ns", "w-1"): second, ("ns", "w-0"): first, ("ns", "v-0"): seen(owner="another")}
    assert owned({PODS: pods}, PODS, "mine") == [first, second]
    assert owned({PODS: pods}, PODS, "nobody") == []


def test_what_a_watch_has_not_shown_yet_is_not_taken_for_gone() -> None:
    assert owned({STATEFULSETS: {}}, PODS, "mine") is None


def ending(*, seconds_ago: float, grace: int = 60, node: str = "gpu-1") -> JsonObject:
    """A pod that was told to end so long ago."""
    ends_by = NOW - timedelta(seconds=seconds_ago - grace)
    metadata = {
        "name": "w-0", "labels": {LABEL_OWNER_UID: "mine"},
        "deletionTimestamp": ends_by.isoformat(), "deletionGracePeriodSeconds": grace,
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}}


def test_of_pods_that_end_in_time_nobody_need_read() -> None:
    assert slow_to_end({PODS: {("ns", "w-0"): ending(seconds_ago=9)}}, STATE, NOW) == ""
    assert slow_to_end({PODS: {("ns", "w-0"): seen()}}, STATE, NOW) == ""
    assert slow_to_end({}, STATE, NOW) == ""


def test_a_pod_that_takes_long_is_named_with_its_node_and_the_times_in_the_same_words_each_time() -> None:
    sight = {PODS: {("ns", "w-0"): ending(seconds_ago=20)}}
    words = slow_to_end(sight, STATE, NOW)
    assert "pod w-0 on node gpu-1, which was told to end at 11:59:45 UTC and has until 12:00:45 UTC" in words
    assert slow_to_end(sight, STATE, NOW + timedelta(seconds=30)) == words


def test_one_that_is_overdue_is_waited_for_no_longer() -> None:
    assert slow_to_end({PODS: {("ns", "w-0"): ending(seconds_ago=121)}}, STATE, NOW) == ""
    assert "on node" not in slow_to_end({PODS: {("ns", "w-0"): ending(seconds_ago=20, node="")}}, STATE, NOW)
