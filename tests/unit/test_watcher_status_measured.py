"""What was measured stands in the status beside the steps, under the plan it was measured with."""

from __future__ import annotations

from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.messages import Report
from services.contracts.performance import Metric, Performance
from services.contracts.status import State, WorkspaceStatus
from services.watcher.status import next_status
from tests.unit.samples import NOW, plan, workspace
from tests.unit.status_samples import ALL_READY, LATER, condition, deployed, provisioned, scheduled, seen


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
