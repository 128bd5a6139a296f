"""`kaitobus why` names the first failing step, in whose words, and what happens next."""

from __future__ import annotations

import pytest

from services.cli.advice import ADVICE
from services.cli.evidence import is_about
from services.cli.why import Note, Verdict, Words, explain
from services.contracts.conditions import STEPS, ConditionType, Reason
from services.contracts.errors import Failure, FailureCode
from tests.unit.cli_samples import T0, at, condition, plan, view

REACHED = {
    Reason.PLANNED,
    Reason.NODE_CLAIMS_READY,
    Reason.NODES_READY,
    Reason.RESOURCE_READY,
    Reason.INFERENCE_READY,
    Reason.ADAPTERS_READY,
    Reason.JOB_STARTED,
    Reason.JOB_SUCCEEDED,
    Reason.WORKSPACE_SUCCEEDED,
}
"""Reasons of steps that have been passed."""
BESIDE = {reason for reason in Reason if reason.startswith("Benchmark")}
"""Reasons of what is no step."""

PLANNED = condition(ConditionType.PLAN_READY, True, Reason.PLANNED)


@pytest.mark.parametrize("reason", sorted(set(Reason) - REACHED - BESIDE))
def test_every_reason_of_a_step_that_is_not_passed_says_what_happens_next(reason: Reason) -> None:
    found = explain(view(condition(ConditionType.INFERENCE_READY, False, reason, "the message")))

    assert found.reason == reason
    assert found.message == "the message"
    assert found.since == at(10)
    assert found.next_step == ADVICE[reason].format(name="phi")
    assert "{" not in found.next_step


@pytest.mark.parametrize("step", STEPS)
def test_the_first_step_that_is_not_passed_is_told_whatever_comes_after(step: ConditionType) -> None:
    index = STEPS.index(step)
    passed = [condition(kind, True, "Done") for kind in STEPS[:index]]
    failing = [condition(kind, False, f"Reason{kind}") for kind in STEPS[index:]]

    found = explain(view(*failing, *passed))

    assert found.step is step
    assert found.reason == f"Reason{step}"


def test_the_services_own_word_on_what_happens_next_comes_first() -> None:
    status = {"next_step": "Node 2 of 3 is asked for."}
    found = explain(view(condition(ConditionType.NODES_READY, False, Reason.NODE_NOT_READY), **status))

    assert found.next_step == "Node 2 of 3 is asked for."


def test_a_clouds_refusal_is_quoted_in_its_own_words_with_the_time_of_the_next_try() -> None:
    failure = Failure(
        code=FailureCode.THROTTLED, message="429 Too many requests", instance_type="NC24", retry_at=at(60)
    )
    failing = condition(ConditionType.NODE_CLAIM_READY, False, "Throttled", "The cloud asks to wait.")

    found = explain(view(PLANNED, failing, failure=failure, plan=plan(provider="azure")))

    assert found.words == (Words(source="azure about NC24", text="Throttled: 429 Too many requests"),)
    assert found.next_at == at(60)
    assert found.next_step == "It is tried again by itself."
    assert found.verdict is Verdict.WAITING


def test_a_terminal_refusal_is_a_failure_that_waits_for_somebody() -> None:
    failure = Failure(code=FailureCode.QUOTA_EXCEEDED, message="Quota of 0 cores")
    failing = condition(ConditionType.NODE_CLAIM_READY, False, "QuotaExceeded")

    found = explain(view(PLANNED, failing, failure=failure))

    assert found.verdict is Verdict.FAILED
    assert found.next_step == "Nothing happens until somebody changes what the message names."


def test_a_wrong_spec_fails_and_a_loading_engine_waits() -> None:
    wrong = explain(view(condition(ConditionType.PLAN_READY, False, Reason.UNKNOWN_PRESET)))
    loading = explain(view(PLANNED, condition(ConditionType.INFERENCE_READY, False, Reason.INFERENCE_PENDING)))

    assert (wrong.verdict, wrong.summary) == (Verdict.FAILED, "It fails at the plan.")
    assert (loading.verdict, loading.summary) == (Verdict.WAITING, "It waits for the inference server.")


def test_kubernetes_warnings_and_the_log_of_the_crash_are_quoted() -> None:
    notes = [
        Note(about="Pod phi-0", reason="BackOff", message="older"),
        Note(about="Pod phi-0", reason="BackOff", message="Back-off restarting failed container"),
    ]
    log = Words(source="log of phi-0, container engine", text="ValueError: too large")

    found = explain(view(condition(ConditionType.INFERENCE_READY, False, Reason.CONTAINER_CRASH_LOOP)), notes, [log])

    assert found.words == (
        Words(source="Pod phi-0", text="BackOff: Back-off restarting failed container"),
        log,
    )


def test_a_warning_that_the_condition_repeats_is_not_told_twice() -> None:
    failing = condition(ConditionType.INFERENCE_READY, False, Reason.UNSCHEDULABLE, "0/1 nodes: Insufficient memory")
    part = Note(about="Pod phi-0", reason="FailedScheduling", message="Insufficient memory")
    whole = Note(about="Workspace phi", reason="Unschedulable", message=f"InferenceReady: {failing.message}")

    assert explain(view(failing), [part, whole]).words == ()


def test_a_warning_from_before_the_step_failed_is_old_news() -> None:
    failing = condition(ConditionType.PLAN_READY, False, Reason.IMMUTABLE_FIELD_CHANGED)
    old = Note(about="Pod phi-0", reason="BackOff", message="long ago", last_seen=at(-60))
    new = Note(about="Pod phi-1", reason="BackOff", message="now", last_seen=at(20))

    assert [words.source for words in explain(view(failing), [old, new]).words] == ["Pod phi-1"]


@pytest.mark.parametrize(
    ("kind", "name", "about"),
    [
        ("Pod", "phi-0", True), ("Pod", "phi-12", True), ("Pod", "phi-x7k2p", True), ("Pod", "phi-adapter", False),
        ("Pod", "phi-mini-0", False), ("Pod", "phi", False), ("StatefulSet", "phi", True), ("Job", "phi", True),
        ("StatefulSet", "phi-0", False), ("Workspace", "phi", False), ("Node", "phi", False),
    ],
)  # fmt: skip
def test_only_events_about_the_own_workload_are_read(kind: str, name: str, about: bool) -> None:
    assert is_about({"involvedObject": {"kind": kind, "name": name}}, "phi") is about


def test_a_ready_workspace_is_said_to_be_well_with_its_endpoint_and_warnings() -> None:
    ready = condition(ConditionType.WORKSPACE_READY, True, Reason.WORKSPACE_SUCCEEDED)
    found = explain(
        view(PLANNED, ready, endpoint="http://phi.default", plan=plan(warnings=("The context was cut to 2048.",)))
    )

    assert found.verdict is Verdict.READY
    assert found.summary == "All is well. It answers at http://phi.default."
    assert found.warnings == ("The context was cut to 2048.",)
    assert found.next_step == ""


def test_a_ready_workspace_tells_how_its_benchmark_stands_and_is_well_whatever_that_says() -> None:
    ready = condition(ConditionType.WORKSPACE_READY, True, Reason.WORKSPACE_SUCCEEDED)
    failed = condition(ConditionType.BENCHMARK_COMPLETED, False, Reason.BENCHMARK_FAILED, "It could not be measured.")
    found = explain(view(PLANNED, failed, ready))
    assert (found.verdict, found.step) == (Verdict.READY, None)
    assert found.words == (Words(source="benchmark", text="It could not be measured."),)


def test_a_simulated_workspace_is_never_said_to_answer() -> None:
    ready = condition(ConditionType.WORKSPACE_READY, True, Reason.SIMULATED, "Simulated.")

    found = explain(view(PLANNED, ready, simulated=True))

    assert found.verdict is Verdict.SIMULATED
    assert "never answers" in found.summary


def test_a_workspace_nobody_has_looked_at_says_so() -> None:
    found = explain(view())

    assert found.verdict is Verdict.WAITING
    assert found.message == "No service has reported on it yet."


def test_a_workspace_that_is_deleted_says_what_goes_first() -> None:
    going = view(PLANNED).model_copy(update={"deleting_since": T0})

    found = explain(going)

    assert found.verdict is Verdict.DELETING
    assert found.since == T0
    assert found.next_step.startswith("The workload goes first")


def test_a_change_that_has_not_been_looked_at_is_named() -> None:
    changed = view(condition(ConditionType.PLAN_READY, False, Reason.INVALID_SPEC)).model_copy(update={"generation": 2})

    assert explain(changed).warnings == ("The newest change (generation 2) has not been looked at yet.",)
