"""What the provisioner does about a demand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Demand
from services.provisioner.provider import InstanceState
from services.provisioner.reconcile import BARE, SOONEST, STEADY, TROUBLED, UNTOLD, decide, look_again, pace
from tests.unit.provisioner_cloud import DEADLINES, START, Cloud, demand, machine, name_of, node, view

QUOTA = Failure(code=FailureCode.QUOTA_EXCEEDED, message="0 of 0", retry_at=START + timedelta(seconds=90))
DELETING, CREATING, FAILED = InstanceState.DELETING, InstanceState.CREATING, InstanceState.FAILED


def created(*arguments: object, **fields: object) -> list[str]:
    return [s.name for s in decide(view(*arguments, **fields), START, DEADLINES).create]  # type: ignore[arg-type]


def deleted(*arguments: object, **fields: object) -> list[str]:
    return [i.name for i in decide(view(*arguments, **fields), START, DEADLINES).delete]  # type: ignore[arg-type]


def test_missing_machines_are_asked_for_by_derived_names() -> None:
    assert created(demand(2)) == created(demand(2)) == [name_of(0), name_of(1)]


def test_a_new_machine_is_told_all_that_its_node_must_carry() -> None:
    spec = decide(view(simulated=True), START, DEADLINES).create[0]
    assert spec.labels == {
        "apps": "x",
        "kaito.sh/workspace": "w",
        "kaito.sh/workspacenamespace": "default",
        "kaito.sh/workspace-uid": "uid-1",
        "kaito.sh/provider": "fake",
        "kaito.sh/simulated": "true",
    }
    assert spec.taints == ("sku=gpu:NoSchedule",)


def test_machines_that_are_there_are_adopted() -> None:
    assert created(demand(2), instances=(machine(0, CREATING),)) == [name_of(1)]


def test_machines_beyond_the_number_go_highest_index_first() -> None:
    three = tuple(machine(i) for i in (1, 0, 2))
    assert deleted(demand(1), instances=three) == [name_of(2), name_of(1)]


def test_a_demand_of_zero_lets_go_of_all() -> None:
    assert deleted(demand(0), instances=(machine(0), machine(1, CREATING))) == [name_of(1), name_of(0)]


def test_a_machine_that_is_going_already_is_not_deleted_again() -> None:
    assert deleted(demand(0), instances=(machine(0, DELETING),)) == []


def test_machines_of_an_earlier_workspace_of_the_same_name_go() -> None:
    old = machine(0, uid="uid-0")
    assert deleted(demand(1), instances=(old,)) == [old.name]
    assert created(demand(1), instances=(old,)) == [name_of(0)]


def test_a_machine_of_another_size_goes_before_its_name_is_used_again() -> None:
    old = machine(0, size="Standard_B")
    assert (deleted(instances=(old,)), created(instances=(old,))) == ([old.name], [])
    assert created(instances=(machine(0, DELETING, size="Standard_B"),)) == []


def test_sizes_are_compared_without_regard_to_case() -> None:
    assert deleted(instances=(machine(0, size="STANDARD_A"),)) == []


def test_nothing_is_asked_for_while_the_cloud_has_refused_it() -> None:
    assert created(refusal=QUOTA) == []


def test_it_is_asked_for_again_when_the_refusal_is_over() -> None:
    assert created(refusal=QUOTA.model_copy(update={"retry_at": START})) == [name_of(0)]


def test_a_failed_machine_is_given_up_with_the_clouds_words() -> None:
    actions = decide(view(instances=(machine(0, FAILED, failure=QUOTA),)), START, DEADLINES)
    assert [i.name for i in actions.delete] == [name_of(0)]
    assert [loss.failure for loss in actions.losses] == [QUOTA]
    assert actions.create == ()


@pytest.mark.parametrize(
    ("state", "minutes", "given_up"),
    [(CREATING, 4, False), (CREATING, 5, True), (InstanceState.RUNNING, 14, False), (InstanceState.RUNNING, 15, True)],
)
def test_a_machine_is_given_up_after_its_deadline(state: InstanceState, minutes: int, given_up: bool) -> None:
    actions = decide(view(instances=(machine(0, state, age=timedelta(minutes=minutes)),)), START, DEADLINES)
    assert bool(actions.delete) is given_up
    assert [loss.failure.code for loss in actions.losses] == [FailureCode.TIMEOUT] * given_up


def test_a_machine_that_made_it_late_is_kept() -> None:
    late = machine(0, age=timedelta(minutes=30))
    assert decide(view(instances=(late,), nodes=(node(0),)), START, DEADLINES).delete == ()


def test_a_node_whose_machine_is_gone_is_removed() -> None:
    assert decide(view(demand(0), nodes=(node(0),)), START, DEADLINES).remove_nodes == (name_of(0),)


def test_a_node_whose_machine_still_ends_is_left_to_it() -> None:
    actions = decide(view(demand(0), nodes=(node(0),), instances=(machine(0, DELETING),)), START, DEADLINES)
    assert actions.remove_nodes == ()


def test_nodes_that_are_only_lent_are_never_removed() -> None:
    assert decide(view(demand(0), nodes=(node(0),), owns_nodes=False), START, DEADLINES).remove_nodes == ()


def test_a_node_that_joined_bare_gets_its_labels() -> None:
    bare = node(0, bare=True)
    assert decide(view(instances=(machine(0),), nodes=(bare,)), START, DEADLINES).mark == (bare,)
    assert decide(view(instances=(machine(0),), nodes=(node(0),)), START, DEADLINES).mark == ()


def test_a_demand_that_is_met_is_looked_at_again_after_a_minute() -> None:
    assert look_again(view(instances=(machine(0),), nodes=(node(0),)), START, DEADLINES) == STEADY


def test_the_longer_a_machine_takes_the_seldomer_its_cloud_is_asked() -> None:
    ages = [timedelta(seconds=s) for s in (0, 16, 600)]
    assert [pace(view(instances=(machine(0, CREATING, age=age),)), START) for age in ages] == [1, 2, 3]


def test_a_demand_of_which_nothing_is_told_is_looked_at_when_time_alone_changes_it() -> None:
    def again(age: timedelta) -> float | None:
        return look_again(view(instances=(machine(0, CREATING, age=age),)), START, DEADLINES)

    assert again(timedelta(minutes=4)) == UNTOLD
    assert again(DEADLINES.launch - timedelta(seconds=7)) == 7
    assert again(DEADLINES.launch + timedelta(seconds=7)) == UNTOLD


def test_a_node_that_may_join_without_our_labels_is_looked_for() -> None:
    ages = [timedelta(seconds=s) for s in (0, 24, 600)]
    assert [look_again(view(instances=(machine(0, age=age),)), START, DEADLINES) for age in ages] == [1, 3, BARE]


def test_a_node_that_somebody_else_wrote_to_at_the_same_moment_is_marked_anew_soon() -> None:
    assert look_again(view(instances=(machine(0),), nodes=(node(0, bare=True),)), START, DEADLINES) == SOONEST


def test_what_failed_without_a_word_on_when_is_tried_again_soon() -> None:
    trouble = Failure(code=FailureCode.INTERNAL, message="cannot be taken down")
    left = view(demand(0), instances=(machine(0),), trouble=trouble)
    assert look_again(left, START, DEADLINES) == TROUBLED


def test_after_a_refusal_it_is_looked_at_when_it_is_over() -> None:
    soon = QUOTA.model_copy(update={"retry_at": START + timedelta(seconds=7)})
    assert look_again(view(refusal=soon), START, DEADLINES) == 7


def test_a_demand_of_zero_is_done_once_nothing_is_left() -> None:
    assert look_again(view(demand(0)), START, DEADLINES) is None
    for left in (view(demand(0), instances=(machine(0, DELETING),)), view(demand(0), nodes=(node(0),))):
        assert look_again(left, START, DEADLINES) == UNTOLD
        assert pace(left, START) == 1
    assert look_again(view(demand(0), blind=True), START, DEADLINES) is not None


class AnyOrder(RuleBasedStateMachine):
    """Passes of any demands, in any order, cut off at any call, while the cloud does what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()

    demands = strategies.builds(
        demand,
        strategies.integers(0, 4),
        uid=strategies.sampled_from(["uid-1", "uid-2"]),
        size=strategies.sampled_from(["Standard_A", "Standard_B"]),
    )

    @rule(wanted=demands, dies_after=strategies.none() | strategies.integers(0, 5))
    def pass_(self, wanted: Demand, dies_after: int | None) -> None:
        self.cloud.carry_out(decide(self.cloud.view(wanted), self.cloud.now, DEADLINES), dies_after)

    @rule(wanted=demands)
    def two_replicas_at_once(self, wanted: Demand) -> None:
        both = [decide(self.cloud.view(wanted), self.cloud.now, DEADLINES) for _ in range(2)]
        for actions in both:
            self.cloud.carry_out(actions)

    @rule(
        index=strategies.integers(0, 3), uid=strategies.sampled_from(["uid-1", "uid-2"]), how=strategies.integers(0, 4)
    )
    def the_cloud_goes_on(self, index: int, uid: str, how: int) -> None:
        name = name_of(index, uid)
        if how == 4:
            self.cloud.instances.pop(name, None)  # taken away by its owner
        elif how == 3:
            self.cloud.set(name, FAILED)
        else:
            (self.cloud.launch, self.cloud.join, self.cloud.finish_delete)[how](name)

    @rule(minutes=strategies.sampled_from([1, 5, 15]))
    def time_passes(self, minutes: int) -> None:
        self.cloud.now += timedelta(minutes=minutes)

    @invariant()
    def no_name_is_there_twice(self) -> None:
        assert all(name == instance.name for name, instance in self.cloud.instances.items())

    def converge(self, wanted: Demand) -> None:
        for _ in range(12):
            self.cloud.carry_out(decide(self.cloud.view(wanted), self.cloud.now, DEADLINES))
            self.cloud.settle()

    def teardown(self) -> None:
        wanted = demand(2)
        self.converge(wanted)
        end = self.cloud.view(wanted)
        assert sorted(self.cloud.instances) == [name_of(0), name_of(1)]
        assert all(end.is_ready(i) and i.instance_type == "Standard_A" for i in end.kept)
        assert sorted(self.cloud.nodes) == [name_of(0), name_of(1)]
        self.converge(demand(0))
        assert (self.cloud.instances, self.cloud.nodes) == ({}, {})
        assert self.cloud.view(demand(0)).released


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
test_any_order_ends_with_what_was_demanded_last_and_with_nothing_after_zero = AnyOrder.TestCase
