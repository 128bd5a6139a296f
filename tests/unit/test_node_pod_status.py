"""The node agent: when a container runs again, and what the pod's status says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.node.container_state import (
    BACKOFF_MOST,
    ContainerRecord,
    Running,
    State,
    Terminated,
    Waiting,
    backoff,
    crashes_after,
    start_at,
)
from deploy.local.node.pod import Policy
from deploy.local.node.pod_container import Probe
from deploy.local.node.pod_status import phase, pod_status, same_status
from deploy.local.node.probes import Streak
from services.chassis.kube import JsonObject, dig, dig_dict, dig_dicts
from tests.unit.node_objects import make_container, make_pod

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUNNING = Running(NOW)
DONE = Terminated(0, "Completed", NOW, NOW)
BROKEN = Terminated(1, "Error", NOW, NOW)


def record(state: State, name: str = "main", **fields: object) -> ContainerRecord:
    blank = ContainerRecord(name, state)
    return ContainerRecord(**{**blank._asdict(), **fields})


def test_the_first_restart_is_at_once_and_the_others_ever_later() -> None:
    assert [backoff(n).total_seconds() for n in range(8)] == [0, 0, 10, 20, 40, 80, 160, 300]


@given(st.integers(min_value=0))
def test_no_container_waits_for_longer_than_five_minutes(crashes: int) -> None:
    assert timedelta(0) <= backoff(crashes) <= BACKOFF_MOST


def test_a_long_run_makes_the_back_off_begin_again() -> None:
    short = Terminated(1, "Error", NOW, NOW - timedelta(minutes=9))
    long = Terminated(1, "Error", NOW, NOW - timedelta(minutes=10))
    assert (crashes_after(4, short), crashes_after(4, long)) == (5, 1)


@pytest.mark.parametrize(
    ("state", "policy", "init", "again"),
    [
        (DONE, "Always", False, True),
        (DONE, "OnFailure", False, False),
        (DONE, "Always", True, False),
        (BROKEN, "OnFailure", False, True),
        (BROKEN, "Always", True, True),
        (BROKEN, "Never", False, False),
        (BROKEN, "Never", True, False),
        (RUNNING, "Always", False, False),
        (Waiting(), "Never", False, True),
    ],
)
def test_what_is_started(state: State, policy: Policy, init: bool, again: bool) -> None:
    assert (start_at(record(state), policy, init=init) is not None) is again


@pytest.mark.parametrize(
    ("policy", "init_state", "state", "expected"),
    [
        ("Always", DONE, Waiting(), "Pending"),
        ("Always", RUNNING, Waiting(), "Pending"),
        ("Always", BROKEN, Waiting(), "Pending"),
        ("Never", BROKEN, Waiting(), "Failed"),
        ("Always", DONE, RUNNING, "Running"),
        ("Always", DONE, BROKEN, "Running"),
        ("Always", DONE, DONE, "Running"),
        ("OnFailure", DONE, DONE, "Succeeded"),
        ("OnFailure", DONE, BROKEN, "Running"),
        ("Never", DONE, DONE, "Succeeded"),
        ("Never", DONE, BROKEN, "Failed"),
    ],
)
def test_the_phase(policy: Policy, init_state: State, state: State, expected: str) -> None:
    pod = make_pod(init=(make_container("init"),), restartPolicy=policy)
    assert phase(pod, {"init": record(init_state, "init"), "main": record(state)}) == expected


def test_a_pod_runs_while_one_of_its_containers_does() -> None:
    pod = make_pod(make_container("a"), make_container("b"), restartPolicy="Never")
    assert phase(pod, {"a": record(BROKEN, "a"), "b": record(RUNNING, "b")}) == "Running"
    assert phase(pod, {"a": record(BROKEN, "a"), "b": record(DONE, "b")}) == "Failed"


def status(state: ContainerRecord, **pod: object) -> JsonObject:
    made = make_pod(status=pod.pop("status", None), **pod)  # type: ignore[arg-type]  # keywords of make_pod
    return pod_status(made, {"main": state}, "192.0.2.7", NOW)


def condition(found: JsonObject, kind: str) -> JsonObject:
    return next(one for one in dig_dicts(found, "conditions") if one["type"] == kind)


def test_a_ready_pod() -> None:
    found = status(record(RUNNING, ready=True, started=True, container_id="process://1-2"))
    assert condition(found, "Ready")["status"] == "True"
    assert dig(found, "containerStatuses", 0, "state") == {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
    assert found["podIP"] == "192.0.2.7"


def test_an_unready_container_is_named() -> None:
    found = condition(status(record(RUNNING)), "Ready")
    assert (found["status"], found["reason"]) == ("False", "ContainersNotReady")
    assert found["message"] == "containers with unready status: [main]"


def test_a_transition_time_moves_only_with_the_status() -> None:
    old: JsonObject = {
        "conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
        ]
    }
    waiting = status(record(RUNNING), status=old)
    assert condition(waiting, "Ready")["lastTransitionTime"] == "2025-01-01T00:00:00Z"
    ready = status(record(RUNNING, ready=True), status=old)
    assert condition(ready, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert condition(ready, "PodScheduled")["status"] == "True"


def test_a_container_between_two_runs_is_shown_in_crash_loop_back_off() -> None:
    found = dig_dict(status(record(BROKEN, crashes=3, restarts=2)), "containerStatuses", 0)
    assert dig(found, "state", "waiting", "reason") == "CrashLoopBackOff"
    assert dig(found, "state", "waiting", "message") == "back-off 20s restarting failed container=main pod=ns/p"
    assert dig(found, "lastState", "terminated", "exitCode") == 1
    assert found["restartCount"] == 2


def test_a_finished_pod_says_so() -> None:
    found = status(record(DONE), restartPolicy="Never")
    assert found["phase"] == "Succeeded"
    assert condition(found, "Ready")["reason"] == "PodCompleted"


def test_nulls_that_the_server_adds_are_no_difference() -> None:
    wanted: JsonObject = {"conditions": [{"type": "Ready", "status": "True"}]}
    stored: JsonObject = {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}], "qosClass": "x"}
    assert same_status(wanted, stored)
    assert not same_status(wanted, {"conditions": []})


def test_a_probe_needs_answers_in_a_row() -> None:
    probe = Probe(success_threshold=2, failure_threshold=3)
    verdicts, streak = [], Streak()
    for ok in (True, False, True, True, False, False, True, False, False, False):
        streak = streak.after(ok=ok)
        verdicts.append(streak.verdict(probe))
    assert verdicts == [None, None, None, True, None, None, None, None, None, False]
