"""What the status of a Workspace becomes: from what it was, the newest plan and the newest reports."""

from __future__ import annotations

from services.contracts.conditions import Condition, ConditionStatus, ConditionType, Reason, false, true
from services.contracts.errors import Failure, FailureCode
from services.contracts.identity import traceparent
from services.contracts.messages import Report
from services.contracts.plan import Workload
from services.contracts.status import State
from services.contracts.subjects import ServiceName
from services.contracts.tuning import TuningProgress
from services.watcher.status import Seen, expected, next_status
from services.watcher.validate import Problem
from tests.unit.samples import NOW, TUNING, UID, plan, report, workspace
from tests.unit.status_samples import (
    ALL_READY,
    ENDPOINT,
    LATER,
    condition,
    deployed,
    provisioned,
    ready_status,
    scheduled,
    seen,
)


def tuning_report(ended: Condition, step: int) -> Report:
    """A deployer's word on a Job that has started."""
    started = true(ConditionType.JOB_STARTED, Reason.JOB_STARTED, "")
    return report(ServiceName.DEPLOYER, started, ended).model_copy(update={"tuning": TuningProgress(step=step)})


class TestAllIsWell:
    """Everything is reported and true."""

    def test_every_step_and_every_summary_is_true(self) -> None:
        status = ready_status()
        assert {c.type for c in status.conditions} == {
            ConditionType.PLAN_READY,
            ConditionType.NODE_CLAIM_READY,
            ConditionType.NODES_READY,
            ConditionType.RESOURCE_READY,
            ConditionType.INFERENCE_READY,
            ConditionType.WORKSPACE_READY,
            ConditionType.SUCCEEDED,
            ConditionType.READY,
        }
        assert all(c.is_true and c.observed_generation == 1 for c in status.conditions)

    def test_what_a_person_looks_for(self) -> None:
        status = ready_status()
        assert status.state is State.READY
        assert status.instance == "Standard_NC24ads_A100_v4"
        assert status.worker_nodes == ("node-1",)
        assert status.target_node_count == 1
        assert status.endpoint == ENDPOINT
        assert status.plan == plan()
        assert status.observed_generation == 1
        assert status.traceparent == traceparent(UID, 1)
        assert status.next_step is None
        assert status.simulated is False

    def test_the_wanted_instance_type_shows_before_there_is_a_plan(self) -> None:
        assert next_status(workspace(), Seen(), NOW).instance == "Standard_NC24ads_A100_v4"

    def test_a_tuning_job_is_started_instead_of_a_model_served(self) -> None:
        made = plan(workload=Workload.TUNING)
        started = report(ServiceName.DEPLOYER, true(ConditionType.JOB_STARTED, "Started"))
        status = next_status(workspace(tuning=TUNING), seen(scheduled(), provisioned(), started, made=made), NOW)
        assert status.condition(ConditionType.INFERENCE_READY) is None
        assert status.is_true(ConditionType.JOB_STARTED)
        assert status.state is State.RUNNING
        assert not status.is_true(ConditionType.SUCCEEDED)

    def test_a_tuning_job_that_is_done_stays_so_whatever_becomes_of_its_nodes(self) -> None:
        made = plan(workload=Workload.TUNING)
        done = tuning_report(true(ConditionType.JOB_SUCCEEDED, Reason.JOB_SUCCEEDED, "The adapter is there."), step=12)
        with_nodes = next_status(workspace(tuning=TUNING), seen(scheduled(), provisioned(), done, made=made), NOW)
        without = seen(scheduled(), provisioned(ready=False), done, made=made)
        status = next_status(workspace(tuning=TUNING, status=with_nodes), without, NOW)
        assert status.state is with_nodes.state is State.SUCCEEDED
        assert status.is_true(ConditionType.SUCCEEDED)
        assert status.tuning is not None
        assert status.tuning.step == 12

    def test_a_tuning_job_that_failed_says_why_at_the_top(self) -> None:
        made = plan(workload=Workload.TUNING)
        failed = tuning_report(false(ConditionType.JOB_SUCCEEDED, Reason.JOB_FAILED, "The disk is full."), step=3)
        status = next_status(workspace(tuning=TUNING), seen(scheduled(), provisioned(), failed, made=made), NOW)
        assert status.state is State.FAILED
        top = condition(status, ConditionType.WORKSPACE_READY)
        assert (top.reason, top.message) == (Reason.JOB_FAILED, "The disk is full.")

    def test_adapters_are_a_step_only_where_there_are_any(self) -> None:
        assert ConditionType.ADAPTERS_READY not in expected(workspace(), plan())
        assert expected(workspace(), plan(adapters=("a",)))[-1] is ConditionType.ADAPTERS_READY


class TestSomethingFails:
    """A step is not passed."""

    def test_the_summaries_repeat_the_first_step_that_fails(self) -> None:
        status = next_status(workspace(), seen(scheduled(), provisioned(ready=False), deployed(ready=False)), NOW)
        for type_ in (ConditionType.WORKSPACE_READY, ConditionType.SUCCEEDED, ConditionType.READY):
            top = condition(status, type_)
            assert top.status is ConditionStatus.FALSE
            assert (top.reason, top.message) == (Reason.NODE_NOT_READY, "The node is being made.")

    def test_what_happens_next_is_told_by_who_reports_the_first_failing_step(self) -> None:
        status = next_status(workspace(), seen(scheduled(), deployed(ready=False), provisioned(ready=False)), NOW)
        assert status.next_step == "The node joins."

    def test_a_step_of_which_nobody_has_spoken_waits_for_the_one_before(self) -> None:
        status = next_status(workspace(), seen(scheduled(), provisioned(ready=False)), NOW)
        waiting = condition(status, ConditionType.INFERENCE_READY)
        assert waiting.status is ConditionStatus.UNKNOWN
        assert waiting.message == "Waiting for NodeClaimReady."

    def test_a_model_that_never_served_is_pending(self) -> None:
        assert next_status(workspace(), seen(scheduled()), NOW).state is State.PENDING

    def test_a_model_that_served_and_does_not_any_more_is_not_ready(self) -> None:
        served = workspace(status=ready_status())
        status = next_status(served, seen(scheduled(), provisioned(), deployed(ready=False)), LATER)
        assert status.state is State.NOT_READY
        again = next_status(workspace(status=status), seen(scheduled(), provisioned(), deployed(ready=False)), LATER)
        assert again.state is State.NOT_READY

    def test_the_clouds_failure_is_kept_in_its_own_words(self) -> None:
        failure = Failure(code=FailureCode.QUOTA_EXCEEDED, message="Operation could not be completed: quota 0")
        status = next_status(workspace(), seen(scheduled(), provisioned(ready=False, failure=failure)), NOW)
        assert status.failure == failure

    def test_a_failure_that_is_over_goes(self) -> None:
        failure = Failure(code=FailureCode.THROTTLED, message="slow down")
        failed = next_status(workspace(), seen(scheduled(), provisioned(ready=False, failure=failure)), NOW)
        assert next_status(workspace(status=failed), seen(*ALL_READY), LATER).failure is None


class TestSimulated:
    """No machine stands behind it."""

    MADE = plan(simulated=True)

    def test_it_is_marked_wherever_it_shows(self) -> None:
        status = next_status(workspace(), seen(*ALL_READY, made=self.MADE), NOW)
        assert status.simulated is True
        assert status.state is State.SIMULATED
        assert status.instance == "Standard_NC24ads_A100_v4 (simulated)"
        top = condition(status, ConditionType.WORKSPACE_READY)
        assert top.reason == Reason.SIMULATED
        assert top.message.startswith("Simulated:")

    def test_it_never_has_an_endpoint_whatever_is_reported(self) -> None:
        assert next_status(workspace(), seen(*ALL_READY, made=self.MADE), NOW).endpoint is None
        had = workspace(status=ready_status())
        assert next_status(had, seen(*ALL_READY, made=self.MADE), NOW).endpoint is None

    def test_it_says_so_before_it_is_done(self) -> None:
        assert next_status(workspace(), seen(scheduled(), made=self.MADE), NOW).state is State.SIMULATED


class TestDeleting:
    """It is on its way out."""

    def test_all_summaries_say_that_it_is_being_taken_down(self) -> None:
        status = next_status(workspace(deleting=True, status=ready_status()), seen(*ALL_READY), LATER)
        assert status.state is State.DELETING
        assert status.is_true(ConditionType.DELETING)
        for type_ in (ConditionType.WORKSPACE_READY, ConditionType.SUCCEEDED, ConditionType.READY):
            assert condition(status, type_).status is ConditionStatus.FALSE
            assert condition(status, type_).reason == Reason.DELETING

    def test_also_while_it_is_simulated(self) -> None:
        status = next_status(workspace(deleting=True), seen(made=plan(simulated=True)), NOW)
        assert status.state is State.DELETING

    def test_the_endpoint_goes_with_the_workload(self) -> None:
        gone = deployed(conditions=(), endpoint=None, released=True)
        status = next_status(workspace(deleting=True, status=ready_status()), seen(gone), LATER)
        assert status.endpoint is None

    def test_what_takes_long_to_end_is_told_as_what_happens_next(self) -> None:
        going = deployed(conditions=(), endpoint=None, next_step="Pod w-0 has until 12:00:45 UTC.")
        failing = next_status(workspace(), seen(*ALL_READY[:2], deployed(ready=False)), NOW)
        status = next_status(workspace(deleting=True, status=failing), seen(going), LATER)
        assert status.next_step == "Pod w-0 has until 12:00:45 UTC."
        gone = deployed(conditions=(), endpoint=None, released=True)
        assert next_status(workspace(deleting=True, status=status), seen(gone), LATER).next_step is None


class TestProblem:
    """The watcher itself found something wrong."""

    PROBLEM = Problem(reason=Reason.SECRET_NOT_FOUND, message="Secret s is not there.")

    def test_it_is_what_a_person_sees_on_top(self) -> None:
        status = next_status(workspace(), Seen(problem=self.PROBLEM), NOW)
        assert condition(status, ConditionType.PLAN_READY).reason == Reason.SECRET_NOT_FOUND
        assert condition(status, ConditionType.WORKSPACE_READY).message == "Secret s is not there."
        assert status.next_step

    def test_what_runs_goes_on_running(self) -> None:
        status = next_status(workspace(status=ready_status()), Seen(problem=self.PROBLEM), LATER)
        assert status.is_true(ConditionType.INFERENCE_READY)
        assert status.endpoint == ENDPOINT
        assert status.state is State.NOT_READY

    def test_it_outweighs_the_schedulers_older_word(self) -> None:
        status = next_status(workspace(), Seen(problem=self.PROBLEM, reports=ALL_READY), NOW)
        assert not status.is_true(ConditionType.PLAN_READY)

    def test_the_same_problem_again_changes_nothing(self) -> None:
        status = next_status(workspace(), Seen(problem=self.PROBLEM), NOW)
        assert next_status(workspace(status=status), Seen(problem=self.PROBLEM), LATER) == status
