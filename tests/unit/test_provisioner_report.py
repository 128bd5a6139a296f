"""What the provisioner says about a demand."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, strategies

from services.contracts.conditions import ConditionStatus, ConditionType
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Report
from services.provisioner.provider import InstanceState
from services.provisioner.report import summarise
from services.provisioner.view import View
from tests.unit.provisioner_cloud import DEADLINES, START, demand, machine, name_of, node, view

ZERO, ONE = name_of(0), name_of(1)


def said(seen: View, previous: Report | None = None, *, after: timedelta = timedelta(0)) -> Report:
    return summarise(seen, START + after, DEADLINES, previous)


def conditions(report: Report) -> dict[ConditionType, tuple[bool, str, str]]:
    return {c.type: (c.status is ConditionStatus.TRUE, c.reason, c.message) for c in report.conditions}


def test_nothing_but_good_news() -> None:
    report = said(view(demand(2), instances=(machine(0), machine(1)), nodes=(node(0), node(1))))
    assert conditions(report) == {
        ConditionType.NODE_CLAIM_READY: (True, "NodeClaimsReady", "2 of 2 machines of size Standard_A running"),
        ConditionType.NODES_READY: (True, "NodesReady", "2 of 2 nodes ready"),
        ConditionType.RESOURCE_READY: (True, "workspaceResourceStatusSuccess", "2 of 2 nodes ready"),
    }
    assert [(n.name, n.ready) for n in report.nodes] == [(ZERO, True), (ONE, True)]
    assert (report.failure, report.next_step, report.released) == (None, None, False)


def test_a_machine_that_boots_is_named_with_the_time_since_when() -> None:
    report = said(view(demand(2), instances=(machine(0), machine(1, InstanceState.CREATING)), nodes=(node(0),)))
    assert conditions(report)[ConditionType.NODE_CLAIM_READY] == (
        False,
        "NodeClaimNotReady",
        f"1 of 2 machines of size Standard_A running; {ONE} is booting since 11:59:48 UTC",
    )
    assert conditions(report)[ConditionType.NODES_READY][2] == (
        f"1 of 2 nodes ready; {ONE} is booting since 11:59:48 UTC"
    )
    assert report.next_step == f"{ONE} is given up and asked for anew if it does not come by 12:04:48 UTC"


def test_a_machine_whose_node_has_not_joined() -> None:
    message = conditions(said(view(instances=(machine(0),))))[ConditionType.NODES_READY][2]
    assert message == f"0 of 1 node ready; {ZERO} runs since 11:59:48 UTC and has not joined the cluster yet"


def test_a_node_that_is_not_ready_says_so_in_its_own_words() -> None:
    message = conditions(said(view(instances=(machine(0),), nodes=(node(0, ready=False),))))
    assert message[ConditionType.NODES_READY][2] == f"0 of 1 node ready; {ZERO} is not ready (kubelet stopped)"


def test_a_node_is_not_ready_before_its_gpus_are_visible() -> None:
    report = said(view(instances=(machine(0),), nodes=(node(0, gpus=1),), gpus=2))
    assert conditions(report)[ConditionType.NODES_READY][2] == f"0 of 1 node ready; {ZERO} shows 1 of 2 GPUs"
    assert conditions(said(view(instances=(machine(0),), nodes=(node(0, gpus=2),), gpus=2)))[ConditionType.NODES_READY][
        0
    ]


def test_a_refusal_keeps_the_clouds_words_and_tells_the_time_of_the_next_try() -> None:
    refusal = Failure(
        code=FailureCode.QUOTA_EXCEEDED, message="Limit 8, asked 12", retry_at=START + timedelta(minutes=3)
    )
    report = said(view(refusal=refusal))
    assert conditions(report)[ConditionType.NODE_CLAIM_READY] == (
        False,
        "QuotaExceeded",
        "0 of 1 machine of size Standard_A running; Limit 8, asked 12",
    )
    assert report.failure == refusal
    assert (report.next_step, report.next_at) == ("the cloud is asked again at 12:03:00 UTC", refusal.retry_at)


def test_simulated_messages_say_so() -> None:
    report = said(view(instances=(machine(0),), nodes=(node(0),), simulated=True))
    assert all(c.message.startswith("Simulated: ") for c in report.conditions)


def test_released_only_once_the_cloud_lists_nothing_and_no_node_is_left() -> None:
    assert said(view(demand(0))).released
    assert not said(view(demand(0), instances=(machine(0, InstanceState.DELETING),))).released
    assert not said(view(demand(0), nodes=(node(0),))).released
    assert not said(view(demand(0), blind=True)).released
    assert not said(view(demand(1))).released


def test_a_node_that_does_not_become_ready_in_time_is_reported_but_kept() -> None:
    old = machine(0, age=timedelta(minutes=15))
    failure = said(view(instances=(old,), nodes=(node(0, ready=False),))).failure
    assert failure is not None
    assert failure.code is FailureCode.TIMEOUT


def test_a_cloud_that_is_silent_takes_nothing_away() -> None:
    before = said(view(instances=(machine(0),), nodes=(node(0),)))
    trouble = Failure(code=FailureCode.THROTTLED, message="slow down", retry_at=START + timedelta(seconds=5))
    report = said(view(blind=True, trouble=trouble), before)
    assert report.conditions == before.conditions
    assert report.nodes == before.nodes
    assert report.failure == trouble


def test_each_step_of_a_node_begins_where_the_last_one_ended() -> None:
    report = said(view(instances=(machine(0),), nodes=(node(0),)))
    assert [p.name for p in report.phases] == [
        f"node {ZERO} {step}" for step in ("requested", "launched", "registered", "ready")
    ]
    assert all(p.finished_at is not None and p.finished_at >= p.started_at for p in report.phases)
    assert [p.started_at for p in report.phases[1:]] == [p.finished_at for p in report.phases[:-1]]


def test_the_step_that_is_going_on_is_the_last() -> None:
    report = said(view(instances=(machine(0, InstanceState.CREATING),)))
    assert [(p.name, p.finished_at is None) for p in report.phases] == [
        (f"node {ZERO} requested", False),
        (f"node {ZERO} launched", True),
    ]


def test_steps_that_were_passed_keep_their_times() -> None:
    good = view(instances=(machine(0),), nodes=(node(0),))
    before = said(good)
    later = node(0, ready=False)
    assert said(view(instances=(machine(0),), nodes=(later,)), before).phases == before.phases


def test_a_machine_made_anew_begins_anew() -> None:
    before = said(view(instances=(machine(0, age=timedelta(minutes=2)),), nodes=(node(0),)))
    report = said(view(instances=(machine(0, InstanceState.CREATING, age=timedelta(0)),)), before)
    assert report.phases[0].started_at == START


@given(seconds=strategies.integers(0, 200))
def test_a_report_that_has_nothing_new_to_say_is_equal_to_the_last_one(seconds: int) -> None:
    seen = view(demand(3), instances=(machine(0), machine(1, InstanceState.CREATING)), nodes=(node(0, gpus=1),), gpus=4)
    first = said(seen)
    assert said(seen, first, after=timedelta(seconds=seconds)) == first
