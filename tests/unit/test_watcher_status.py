"""What the status of a Workspace becomes: from what it was, the newest plan and the newest reports."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.contracts.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    StatusCondition,
    false,
    true,
)
from services.contracts.errors import Failure, FailureCode
from services.contracts.identity import traceparent
from services.contracts.messages import NodeReport, Phase, Report
from services.contracts.performance import Metric, Performance
from services.contracts.plan import Plan, Workload
from services.contracts.status import State, WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.tuning import TuningProgress
from services.watcher.status import Seen, expected, next_status
from services.watcher.validate import Problem
from tests.unit.samples import NOW, TUNING, UID, plan, plan_state, report, workspace

LATER = NOW + timedelta(minutes=5)
PLANNED = true(ConditionType.PLAN_READY, Reason.PLANNED, "1 node.")
ENDPOINT = "http://w.team.svc.cluster.local"


def scheduled(**of: object) -> Report:
    return report(ServiceName.SCHEDULER, PLANNED).model_copy(update=of)


def provisioned(*, ready: bool = True, provider: str = "azure", **of: object) -> Report:
    states = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    conditions = [
        true(type_, Reason.NODES_READY) if ready else false(type_, Reason.NODE_NOT_READY, "The node is being made.")
        for type_ in states
    ]
    made = report(ServiceName.PROVISIONER, *conditions, provider=provider)
    nodes = (NodeReport(name="node-1", ready=ready),)
    return made.model_copy(update={"nodes": nodes, "next_step": None if ready else "The node joins."} | of)


def deployed(*, ready: bool = True, **of: object) -> Report:
    if ready:
        made = report(ServiceName.DEPLOYER, true(ConditionType.INFERENCE_READY, "Serving"), endpoint=ENDPOINT)
    else:
        waiting = false(ConditionType.INFERENCE_READY, Reason.INFERENCE_PENDING_NODES, "Pod w-0 waits.")
        made = report(ServiceName.DEPLOYER, waiting, next_step="Kubernetes starts the pod.")
    return made.model_copy(update=of)


ALL_READY = (scheduled(), provisioned(), deployed())


def seen(*reports: Report, made: Plan | None = None) -> Seen:
    return Seen(plan=plan_state(made) if made else plan_state(), reports=reports)


def condition(status: WorkspaceStatus, type_: ConditionType) -> StatusCondition:
    found = status.condition(type_)
    assert found is not None, f"{type_} is not there"
    return found


def ready_status() -> WorkspaceStatus:
    return next_status(workspace(), seen(*ALL_READY), NOW)


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


class TestNothingNew:
    """What was told before, and what was lost."""

    def test_the_same_again_changes_nothing(self) -> None:
        status = ready_status()
        assert next_status(workspace(status=status), seen(*ALL_READY), LATER) == status

    def test_in_any_order(self) -> None:
        status = ready_status()
        assert next_status(workspace(status=status), seen(*reversed(ALL_READY)), LATER) == status

    def test_nothing_at_all_on_the_bus_changes_nothing(self) -> None:
        status = ready_status()
        assert next_status(workspace(status=status), Seen(), LATER) == status

    @pytest.mark.parametrize("lost", range(3), ids=["scheduler", "provisioner", "deployer"])
    def test_a_report_that_was_lost_takes_nothing_away(self, lost: int) -> None:
        left = [r for i, r in enumerate(ALL_READY) if i != lost]
        status = ready_status()
        assert next_status(workspace(status=status), seen(*left), LATER) == status

    def test_a_failing_step_whose_report_was_lost_still_says_what_happens_next(self) -> None:
        status = next_status(workspace(), seen(scheduled(), provisioned(ready=False)), NOW)
        assert next_status(workspace(status=status), seen(scheduled()), LATER) == status

    def test_a_status_without_plan_and_reports_waits_and_stays_so(self) -> None:
        status = next_status(workspace(), Seen(), NOW)
        assert next_status(workspace(status=status), Seen(), LATER) == status


class TestWhatDoesNotCount:
    """Other workspaces, older plans, older generations, other providers."""

    def test_a_report_on_an_earlier_workspace_of_that_name(self) -> None:
        others = (scheduled(uid="earlier"), deployed(uid="earlier"))
        assert next_status(workspace(), Seen(reports=others), NOW) == next_status(workspace(), Seen(), NOW)

    def test_the_plan_of_an_earlier_workspace_of_that_name(self) -> None:
        assert next_status(workspace(), Seen(plan=plan_state(uid="earlier")), NOW).plan is None

    def test_an_older_plan_than_the_one_in_the_status(self) -> None:
        status = WorkspaceStatus(plan=plan(3))
        assert next_status(workspace(status=status), Seen(plan=plan_state(plan(2))), NOW).plan == plan(3)

    def test_a_report_on_an_older_plan(self) -> None:
        status = next_status(workspace(), seen(deployed(plan_revision=1), made=plan(2)), NOW)
        assert condition(status, ConditionType.INFERENCE_READY).reason == "Waiting"
        assert status.endpoint is None

    def test_the_report_of_a_provider_that_was_left(self) -> None:
        left = provisioned(provider="aws", nodes=(NodeReport(name="old", ready=True),))
        status = next_status(workspace(), seen(scheduled(), left), NOW)
        assert status.worker_nodes == ()
        assert condition(status, ConditionType.NODES_READY).reason == "Waiting"

    def test_a_report_on_a_generation_older_than_what_the_status_has(self) -> None:
        newer = seen(scheduled(generation=2), provisioned(generation=2), deployed(ready=False, generation=2))
        status = next_status(workspace(generation=2), newer, NOW)
        again = next_status(workspace(generation=2, status=status), seen(scheduled(), provisioned(), deployed()), LATER)
        assert not again.is_true(ConditionType.INFERENCE_READY)

    def test_a_report_does_not_make_its_generation_newer_than_it_is(self) -> None:
        status = next_status(workspace(generation=2), seen(*ALL_READY), NOW)
        assert condition(status, ConditionType.INFERENCE_READY).observed_generation == 1


class TestTimes:
    """When a condition changed."""

    def test_a_transition_is_dated_in_whole_seconds_as_kubernetes_keeps_them(self) -> None:
        status = next_status(workspace(), seen(*ALL_READY), NOW + timedelta(microseconds=250_000))
        assert condition(status, ConditionType.READY).last_transition_time == NOW

    def test_only_a_change_of_the_status_is_a_transition(self) -> None:
        waiting = next_status(workspace(), seen(scheduled(), provisioned(ready=False)), NOW)
        other_words = provisioned(ready=False, conditions=(false(ConditionType.NODES_READY, "Booting", "Soon."),))
        status = next_status(workspace(status=waiting), seen(scheduled(), other_words), LATER)
        assert condition(status, ConditionType.NODES_READY).reason == "Booting"
        assert condition(status, ConditionType.NODES_READY).last_transition_time == NOW

    def test_a_change_of_the_status_is(self) -> None:
        waiting = next_status(workspace(), seen(scheduled(), provisioned(ready=False)), NOW)
        status = next_status(workspace(status=waiting), seen(*ALL_READY), LATER)
        assert condition(status, ConditionType.NODES_READY).last_transition_time == LATER
        assert condition(status, ConditionType.PLAN_READY).last_transition_time == NOW


class TestPhases:
    """The steps with their times."""

    LOADING = Phase(name="loads", started_at=NOW)
    LOADED = Phase(name="loads", started_at=NOW, finished_at=LATER)
    BOOTED = Phase(name="boots", started_at=NOW - timedelta(minutes=1), finished_at=NOW)

    def test_phases_of_all_services_stand_by_their_start(self) -> None:
        status = next_status(
            workspace(), seen(deployed(phases=(self.LOADING,)), provisioned(phases=(self.BOOTED,))), NOW
        )
        assert status.phases == (self.BOOTED, self.LOADING)

    def test_a_newer_word_on_a_phase_replaces_the_older(self) -> None:
        first = next_status(workspace(), seen(deployed(phases=(self.LOADING,))), NOW)
        status = next_status(workspace(status=first), seen(deployed(phases=(self.LOADED,))), LATER)
        assert status.phases == (self.LOADED,)

    def test_phases_whose_report_was_lost_stay(self) -> None:
        first = next_status(workspace(), seen(provisioned(phases=(self.BOOTED,))), NOW)
        assert next_status(workspace(status=first), seen(deployed()), LATER).phases == (self.BOOTED,)

    def test_a_new_generation_begins_anew(self) -> None:
        first = next_status(workspace(), seen(provisioned(phases=(self.BOOTED,))), NOW)
        assert next_status(workspace(generation=2, status=first), Seen(), LATER).phases == ()

    def test_their_number_is_bounded(self) -> None:
        many = tuple(Phase(name=f"p{n}", started_at=NOW + timedelta(seconds=n)) for n in range(100))
        status = next_status(workspace(), seen(deployed(phases=many)), NOW)
        assert status.phases == many[-64:]


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


class TestPerformance:
    """What the engine measured, beside what was planned."""

    MEASURED = Performance(metrics={"kvCacheTokens": Metric(value="43328", unit="tokens", config={"error": "-5.4%"})})

    def test_it_is_written_as_the_deployer_reports_it(self) -> None:
        told = (scheduled(), provisioned(), deployed(performance=self.MEASURED))
        assert next_status(workspace(), seen(*told), NOW).performance == self.MEASURED

    def test_it_stays_while_nobody_speaks_of_it(self) -> None:
        before = workspace(status=WorkspaceStatus(plan=plan(), performance=self.MEASURED))
        assert next_status(before, seen(*ALL_READY), NOW).performance == self.MEASURED

    def test_it_goes_with_the_plan_that_it_was_measured_under(self) -> None:
        before = workspace(status=WorkspaceStatus(plan=plan(), performance=self.MEASURED))
        assert next_status(before, seen(*ALL_READY, made=plan(2)), NOW).performance is None


class TestBenchmark:
    """How fast the server is: told beside the steps, and nothing waits for it."""

    DONE = true(ConditionType.BENCHMARK_COMPLETED, Reason.BENCHMARK_COMPLETED, "9 tokens a minute.")
    FAILED = false(ConditionType.BENCHMARK_COMPLETED, Reason.BENCHMARK_FAILED, "It could not be measured.")

    def told(self, benchmark: Condition) -> tuple[Report, ...]:
        server = deployed()
        return (
            scheduled(),
            provisioned(),
            server.model_copy(update={"conditions": (*server.conditions, benchmark)}),
        )

    def test_whatever_it_says_the_workspace_is_ready(self) -> None:
        for benchmark in (self.DONE, self.FAILED):
            status = next_status(workspace(), seen(*self.told(benchmark)), NOW)
            assert condition(status, ConditionType.BENCHMARK_COMPLETED).message == benchmark.message
            assert status.state is State.READY
            assert all(status.is_true(type_) for type_ in (ConditionType.READY, ConditionType.SUCCEEDED))
            assert status.next_step is None

    def test_it_is_not_there_before_anybody_speaks_of_it(self) -> None:
        assert next_status(workspace(), seen(*ALL_READY), NOW).condition(ConditionType.BENCHMARK_COMPLETED) is None

    def test_it_stays_under_its_plan_while_nobody_speaks_of_it_and_goes_with_it(self) -> None:
        before = workspace(status=next_status(workspace(), seen(*self.told(self.DONE)), NOW))
        stays = next_status(before, seen(*ALL_READY), LATER)
        assert condition(stays, ConditionType.BENCHMARK_COMPLETED).last_transition_time == NOW
        gone = next_status(before, seen(*ALL_READY, made=plan(2)), LATER)
        assert gone.condition(ConditionType.BENCHMARK_COMPLETED) is None

    def test_the_same_again_changes_nothing(self) -> None:
        before = next_status(workspace(), seen(*self.told(self.DONE)), NOW)
        assert next_status(workspace(status=before), seen(*self.told(self.DONE)), LATER) == before
