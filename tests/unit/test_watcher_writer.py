"""Writing the status: only what changed, on top of what was read, and the story as events."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import JsonObject, dig, dig_dict, dig_str
from services.chassis.settle import Outdated
from services.contracts.conditions import Condition, ConditionType, Reason, StatusCondition, false, true
from services.contracts.messages import Phase
from services.contracts.performance import Metric, Performance
from services.contracts.status import State, WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import FINALIZER
from services.watcher.status import Seen
from services.watcher.validate import Problem
from services.watcher.workspace import read
from services.watcher.writer import report_subjects, with_removals, worth_telling
from tests.unit.samples import NOW, manifest, plan, plan_state, report, workspace
from tests.unit.test_contracts_messages import conditions, maps, plans, text
from tests.unit.watcher_fakes import Watcher, merged

PROBLEM = Problem(reason=Reason.SECRET_NOT_FOUND, message="Secret s is not there.")

dated = st.builds(
    lambda condition, generation: StatusCondition(
        **condition.model_dump(), observed_generation=generation, last_transition_time=NOW
    ),
    conditions,
    st.integers(min_value=0, max_value=9),
)
performances = st.builds(
    Performance, metrics=st.dictionaries(text, st.builds(Metric, value=st.none() | text, config=st.none() | maps))
)
statuses = st.builds(
    WorkspaceStatus,
    observed_generation=st.integers(min_value=0),
    conditions=st.lists(dated, max_size=3).map(tuple),
    state=st.none() | st.sampled_from(State),
    worker_nodes=st.lists(text, max_size=2).map(tuple),
    target_node_count=st.none() | st.integers(min_value=0, max_value=9),
    performance=st.none() | performances,
    plan=st.none() | plans,
    phases=st.lists(st.builds(Phase, name=text, started_at=st.just(NOW)), max_size=2).map(tuple),
    endpoint=st.none() | text,
    simulated=st.none() | st.booleans(),
    next_step=st.none() | text,
)


@given(statuses, statuses)
def test_the_patch_on_the_old_status_gives_the_new_one(old: WorkspaceStatus, new: WorkspaceStatus) -> None:
    assert merged(old.to_dict(), with_removals(old, new)) == new.to_dict()


@given(statuses, statuses)
def test_what_others_have_put_into_the_status_stays(old: WorkspaceStatus, new: WorkspaceStatus) -> None:
    stored = {**old.to_dict(), "others": {"a": 1}}
    assert merged(stored, with_removals(old, new)) == {**new.to_dict(), "others": {"a": 1}}


def test_labels_with_dots_and_a_template_of_the_users_own_survive() -> None:
    made = plan(template={"spec": {"containers": [{"name": "c", "env": []}], "volumes": [{"emptyDir": {}}]}})
    new = WorkspaceStatus(plan=made)
    stored = merged({}, with_removals(WorkspaceStatus(), new))
    assert WorkspaceStatus.model_validate(stored).plan == made


async def written(seen: Seen, status: WorkspaceStatus | None = None) -> Watcher:
    watcher = Watcher()
    watcher.kube.put(manifest(status=status))
    await watcher.writer.write(read(watcher.kube.workspace()), seen)
    return watcher


async def test_the_status_is_written_on_top_of_what_was_read() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest(version="8"))
    with pytest.raises(Outdated):
        await watcher.writer.write(workspace(version="7"), Seen(problem=PROBLEM))


async def test_nothing_is_written_when_nothing_is_new() -> None:
    first = await written(Seen(problem=PROBLEM))
    again = await written(Seen(problem=PROBLEM), read(first.kube.workspace()).status)
    assert first.kube.log == ["status"]
    assert again.kube.log == []


async def test_a_workspace_that_is_gone_is_nothing_to_write_to_nor_to_tell_of() -> None:
    watcher = Watcher()
    await watcher.writer.write(workspace(), Seen(problem=PROBLEM))
    assert watcher.events.told == []


async def test_a_plan_on_the_bus_is_written_into_the_status() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest())
    watcher.bus.put(plan_state(plan(2)))
    await watcher.writer.on_message(plan_state(plan(2)))
    assert dig(watcher.kube.workspace(), "status", "plan", "revision") == 2
    assert dig_dict(watcher.kube.workspace(), "status", "plan", "nodeLabels")["kaito.sh/workspace"] == "w"


class TestWhatTheWatchShows:
    """It is mostly the newest, and then nothing is read; where it is not, it does no harm."""

    async def test_the_status_is_written_on_top_of_it_without_reading(self) -> None:
        watcher = Watcher()
        watcher.kube.put(manifest())
        watcher.shown["team", "w"] = manifest()
        watcher.bus.put(plan_state(plan(2)))
        await watcher.writer.on_message(plan_state(plan(2)))
        assert dig(watcher.kube.workspace(), "status", "plan", "revision") == 2
        assert (watcher.kube.log, watcher.kube.reads) == (["status"], 0)

    async def test_where_it_is_behind_the_workspace_is_read(self) -> None:
        watcher = Watcher()
        watcher.kube.put(manifest(version="8", generation=2))
        watcher.shown["team", "w"] = manifest(version="7")
        watcher.bus.put(plan_state(plan(2)))
        await watcher.writer.on_message(plan_state(plan(2)))
        assert dig(watcher.kube.workspace(), "status", "observedGeneration") == 2
        assert (watcher.kube.log, watcher.kube.reads) == (["status"], 1)

    async def test_that_there_is_nothing_to_write_is_not_believed(self) -> None:
        """The bus says again what it said first; in between another wrote something else, which is not shown yet."""
        watcher = Watcher()
        watcher.kube.put(manifest())
        watcher.bus.put(plan_state(plan(2)))
        await watcher.writer.on_message(plan_state(plan(2)))
        before = watcher.kube.workspace()
        watcher.shown["team", "w"] = before
        metadata = {**dig_dict(before, "metadata"), "resourceVersion": "900"}
        watcher.kube.put({**before, "metadata": metadata, "status": {"plan": plan(1).to_dict()}})
        await watcher.writer.on_message(plan_state(plan(2)))
        assert dig(watcher.kube.workspace(), "status", "plan", "revision") == 2

    @pytest.mark.parametrize("shown", [manifest(uid="earlier"), manifest(deleting=True)], ids=["a namesake", "deleted"])
    async def test_one_that_is_another_or_goes_is_read(self, shown: JsonObject) -> None:
        watcher = Watcher()
        watcher.kube.put(manifest())
        watcher.shown["team", "w"] = shown
        watcher.bus.put(plan_state())
        await watcher.writer.on_message(plan_state())
        assert (watcher.kube.log, watcher.kube.reads) == (["status"], 1)


async def test_a_message_about_an_earlier_workspace_of_that_name_is_dropped() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest())
    await watcher.writer.on_message(plan_state(uid="earlier"))
    assert watcher.kube.log == []


async def test_the_finalizer_goes_after_the_last_word_in_the_status_and_those_of_others_stay() -> None:
    watcher = Watcher()
    obj = manifest(deleting=True)
    obj["metadata"] = {**dig_dict(obj, "metadata"), "finalizers": ["other/one", FINALIZER]}
    watcher.kube.put(obj)
    released = report(ServiceName.SCHEDULER, released=True)
    watcher.bus.put(released)
    await watcher.writer.on_message(released)
    assert watcher.kube.log == ["status", "finalizer"]
    assert dig(watcher.kube.workspace(), "metadata", "finalizers") == ["other/one"]


async def test_what_nobody_can_read_any_more_is_not_written_and_told_all_the_same() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest(deleting=True))
    released = report(ServiceName.SCHEDULER, released=True)
    watcher.bus.put(released)
    await watcher.writer.on_message(released)
    assert watcher.kube.log == ["finalizer"]
    assert watcher.events.told


async def test_only_the_scheduler_releases_and_only_this_very_workspace() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest(deleting=True))
    for word in (report(ServiceName.DEPLOYER, released=True), report(ServiceName.SCHEDULER, released=True, uid="old")):
        watcher.bus.put(word)
    await watcher.writer.on_message(report(ServiceName.DEPLOYER, released=True))
    assert watcher.kube.log == ["status"]


async def test_a_living_workspace_is_never_let_go() -> None:
    watcher = Watcher()
    watcher.kube.put(manifest())
    released = report(ServiceName.SCHEDULER, released=True)
    watcher.bus.put(released)
    await watcher.writer.on_message(released)
    assert "finalizer" not in watcher.kube.log


async def test_two_writers_at_once_end_in_one_status() -> None:
    one = Watcher()
    one.kube.put(manifest())
    two = Watcher(one.kube, one.bus)
    one.bus.put(plan_state())
    results = await asyncio.gather(
        one.writer.on_message(plan_state()), two.writer.on_message(plan_state()), return_exceptions=True
    )
    assert sum(isinstance(r, Outdated) for r in results) == 1
    assert one.kube.log == ["status"]
    assert len(one.events.told + two.events.told) == len(set(one.events.told + two.events.told))


class TestWhoIsAsked:
    """The subjects of all who may report."""

    def test_scheduler_and_deployer_always(self) -> None:
        assert report_subjects(workspace(), None) == ["kaito.report.scheduler.team.w", "kaito.report.deployer.team.w"]

    def test_every_provider_that_the_plans_name(self) -> None:
        moved = plan(2, provider="aws").model_copy(update={"providers": ("azure", "aws")})
        assert report_subjects(workspace(status=WorkspaceStatus(plan=plan())), plan_state(moved))[2:] == [
            "kaito.report.provisioner-aws.team.w",
            "kaito.report.provisioner-azure.team.w",
        ]


def status_of(*wanted: Condition) -> WorkspaceStatus:
    return WorkspaceStatus(
        conditions=tuple(
            StatusCondition(**c.model_dump(), observed_generation=1, last_transition_time=NOW) for c in wanted
        )
    )


class TestEvents:
    """What is told: each transition once, and not what only repeats another."""

    WAITS = false(ConditionType.NODES_READY, Reason.NODE_NOT_READY, "The node is being made.")
    READY = true(ConditionType.NODES_READY, Reason.NODES_READY)

    def test_a_change_of_status_or_reason_is_told(self) -> None:
        assert len(worth_telling(status_of(self.WAITS), status_of(self.READY))) == 1

    def test_other_words_are_not(self) -> None:
        other = self.WAITS.model_copy(update={"message": "Still being made."})
        assert worth_telling(status_of(self.WAITS), status_of(other)) == []

    def test_a_step_of_which_nobody_spoke_is_not(self) -> None:
        assert worth_telling(WorkspaceStatus(), status_of(false(ConditionType.NODES_READY, "Waiting"))) == []

    def test_a_summary_that_repeats_a_failing_step_is_not(self) -> None:
        tops = [false(t, "X") for t in (ConditionType.WORKSPACE_READY, ConditionType.SUCCEEDED, ConditionType.READY)]
        assert worth_telling(WorkspaceStatus(), status_of(*tops)) == []

    def test_that_the_workspace_is_ready_is_told_once(self) -> None:
        tops = [true(t, "X") for t in (ConditionType.WORKSPACE_READY, ConditionType.SUCCEEDED, ConditionType.READY)]
        assert [c.type for c in worth_telling(WorkspaceStatus(), status_of(*tops))] == [ConditionType.WORKSPACE_READY]

    async def test_what_failed_is_a_warning_and_what_went_well_is_not(self) -> None:
        failed = await written(Seen(problem=PROBLEM))
        assert failed.events.told == [("Warning", "SecretNotFound", "PlanReady: Secret s is not there.")]
        planned = report(ServiceName.SCHEDULER, true(ConditionType.PLAN_READY, Reason.PLANNED, "1 node."))
        went_well = await written(Seen(plan=plan_state(), reports=(planned,)))
        assert went_well.events.told == [("Normal", "Planned", "PlanReady: 1 node.")]


def test_a_status_that_another_controller_left_does_not_hide_the_plan() -> None:
    obj = manifest(status=WorkspaceStatus(plan=plan()))
    stored = {**dig_dict(obj, "status"), "conditions": [{"type": "SomethingElse", "status": "True", "reason": "R"}]}
    assert read(obj | {"status": stored}).status.plan == plan()
    assert dig_str(stored, "conditions", 0, "type") == "SomethingElse"
