"""What of a status stays: what was lost, is older or of others changes nothing, and times are those of changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.contracts.conditions import ConditionType, false
from services.contracts.messages import NodeReport, Phase
from services.contracts.status import WorkspaceStatus
from services.watcher.status import Seen, next_status
from tests.unit.samples import NOW, plan, plan_state, workspace
from tests.unit.status_samples import ALL_READY, LATER, condition, deployed, provisioned, ready_status, scheduled, seen


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
