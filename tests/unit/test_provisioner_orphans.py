"""What the garbage collection may take, and what it never takes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.provisioner.orphans import Sightings, candidates, is_orphan
from services.provisioner.provider import InstanceState
from tests.unit.provisioner_cloud import START, demand, machine, name_of, node

OWNER = machine(0).owner
GRACE = timedelta(seconds=60)


def workspace(uid: str = "uid-1", provider: str | None = None) -> dict[str, object]:
    plan = {"plan": {"provider": provider}} if provider else {}
    return {"metadata": {"uid": uid}, "status": plan}


def test_a_machine_whose_workspace_is_gone_is_an_orphan() -> None:
    assert is_orphan(OWNER, "fake", None, demand(1))


def test_a_machine_of_an_earlier_workspace_of_the_same_name_is_an_orphan() -> None:
    assert is_orphan(OWNER, "fake", workspace("uid-2"), None)


def test_a_lost_demand_makes_no_orphan() -> None:
    assert not is_orphan(OWNER, "fake", workspace(provider="fake"), None)
    assert not is_orphan(OWNER, "fake", workspace(), None)


def test_a_workspace_that_moved_to_another_provider_leaves_an_orphan_if_nobody_was_told() -> None:
    assert is_orphan(OWNER, "fake", workspace(provider="azure"), None)
    assert is_orphan(OWNER, "fake", workspace(provider="azure"), demand(1, uid="uid-0"))


def test_letting_go_is_left_to_the_loop_where_it_was_told() -> None:
    assert not is_orphan(OWNER, "fake", workspace(provider="azure"), demand(0))


def test_only_what_is_seen_twice_in_a_row_is_taken() -> None:
    found = candidates([machine(0, age=2 * GRACE)], [])
    sightings = Sightings(GRACE)
    assert sightings.confirm(found, START) == []
    assert sightings.confirm([], START + GRACE) == []
    assert sightings.confirm(found, START + 2 * GRACE) == []
    assert sightings.confirm(found, START + 3 * GRACE) == found


def test_what_was_seen_before_a_blackout_does_not_count() -> None:
    found = candidates([machine(0, age=2 * GRACE)], [])
    sightings = Sightings(GRACE)
    sightings.confirm(found, START)
    sightings.forget()
    assert sightings.confirm(found, START) == []


@pytest.mark.parametrize("minutes", [-30, 0, 30])
def test_a_newborn_is_never_taken_whatever_the_clouds_clock_says(minutes: int) -> None:
    found = candidates([machine(0, age=timedelta(minutes=minutes))], [])
    sightings = Sightings(GRACE)
    sightings.confirm(found, START)
    assert sightings.confirm(found, START + GRACE / 2) == []
    assert sightings.confirm(found, START + GRACE) == found


def test_a_node_without_a_machine_is_a_candidate_and_one_whose_machine_is_going_is_none() -> None:
    assert [c.name for c in candidates([], [node(0)])] == [name_of(0)]
    assert candidates([machine(0, InstanceState.DELETING)], [node(0)]) == []
    assert [c.instance for c in candidates([machine(0)], [node(0)])] == [machine(0)]
