"""Who waits for a turn, and who gets it: what a deployer keeps in mind of upgrades."""

from __future__ import annotations

from datetime import timedelta

from services.chassis.kube import JsonObject, Key, KubeClient, Lease
from services.deployer.rollout import marked, marks
from services.deployer.turns import GIVEN_FOR, Turns
from tests.unit.samples import NOW, plan_state
from tests.unit.test_deployer_rollout import found, rendered, wanted

KEY: Key = ("team", "w")


class NoCalls(KubeClient):
    """None are needed: turns are given by whoever calls `give`."""

    def __init__(self) -> None:
        """Without a connection."""


def turns_of(sets: dict[Key, JsonObject]) -> Turns:
    return Turns(Lease(NoCalls(), "l", "n"), lambda: sets or None, 1)


def test_it_waits_is_given_its_turn_takes_it_and_the_next_goes_when_it_is_ready_again() -> None:
    newer, other = wanted(image="two"), ("team", "v")
    sets = {KEY: found(), other: found()}
    turns = turns_of(sets)
    assert turns.is_due(plan_state(), rendered(image="two"))
    for key in (KEY, other):
        assert not turns.may_change(key, sets[key], newer)
        assert turns.waits(key)
    assert not turns.is_due(plan_state(), rendered(image="two"))
    assert turns.give(NOW) == [KEY]
    assert turns.is_due(plan_state(), rendered(image="two"))
    assert turns.may_change(KEY, sets[KEY], newer)
    assert turns.give(NOW) == []  # the watch does not show yet that it was taken
    upgraded = marks(sets[KEY], newer, NOW)
    sets[KEY] = found(ready=0, annotations=upgraded)
    assert turns.give(NOW) == []
    assert not turns.waits(KEY)
    sets[KEY] = found(annotations=upgraded)
    assert turns.give(NOW) == [other]


def test_a_turn_that_is_not_taken_is_given_again() -> None:
    turns = turns_of({KEY: found()})
    turns.may_change(KEY, found(), wanted(image="two"))
    assert turns.give(NOW) == [KEY]
    assert turns.give(NOW + GIVEN_FOR - timedelta(seconds=1)) == []
    assert turns.give(NOW + GIVEN_FOR) == [KEY]


def test_nobody_has_a_turn_before_all_are_known_nor_when_it_is_gone_or_changed_meanwhile() -> None:
    sets: dict[Key, JsonObject] = {}
    turns = turns_of(sets)
    turns.may_change(KEY, found(), wanted(image="two"))
    assert turns.give(NOW) == []
    sets["team", "v"] = found()
    assert turns.give(NOW) == []
    assert not turns.waits(KEY)
    sets[KEY] = marked(rendered(image="two"), wanted(image="two"))
    turns.may_change(KEY, found(), wanted(image="two"))
    assert not turns.is_due(plan_state(), rendered(image="two"))
    assert not turns.waits(KEY)
