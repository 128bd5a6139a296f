"""Clocks that are wrong: the cloud's, the cluster's. No machine is given up for what they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.provisioner.first_seen import FirstSeen
from services.provisioner.provider import InstanceState
from services.provisioner.reconcile import decide, look_again
from services.provisioner.report import summarise
from services.provisioner.view import View
from tests.unit.provisioner_cloud import DEADLINES, START, demand, machine, name_of, node, view

CREATING = InstanceState.CREATING
WRONG = [timedelta(minutes=m) for m in (-30, -6, 6, 30)]
SECOND = timedelta(seconds=1)


def booting(wrong: timedelta) -> View:
    """A machine that was asked for at `START`, by a cloud whose clock is behind by so much."""
    return view(instances=(machine(0, CREATING, age=wrong),))


def seen(clocks: FirstSeen, found: View, after: timedelta) -> View:
    return replace(found, own_clock=clocks.note(found, START + after))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_machine_has_its_full_time_by_our_own_clock_and_no_more(wrong: timedelta) -> None:
    clocks = FirstSeen()
    seen(clocks, booting(wrong), 0 * SECOND)
    late, too_late = DEADLINES.launch - SECOND, DEADLINES.launch
    assert not decide(seen(clocks, booting(wrong), late), START + late, DEADLINES).losses
    found = seen(clocks, booting(wrong), too_late)
    (loss,) = decide(found, START + too_late, DEADLINES).losses
    assert loss.failure.message == f"{name_of(0)} did not launch within 5 min"


@pytest.mark.parametrize("wrong", WRONG)
def test_the_report_says_by_our_own_clock_when_a_machine_is_given_up(wrong: timedelta) -> None:
    found = seen(FirstSeen(), booting(wrong), 0 * SECOND)
    assert summarise(found, START, DEADLINES, None).next_at == START + DEADLINES.launch
    assert look_again(found, START + DEADLINES.launch - 3 * SECOND, DEADLINES) == 3


def test_a_clock_that_is_right_counts_so_that_two_processes_say_the_same() -> None:
    first, second = FirstSeen(), FirstSeen()
    said = [
        summarise(seen(clocks, booting(0 * SECOND), after * SECOND), START, DEADLINES, None)
        for clocks, after in ((first, 1), (second, 40), (first, 41))
    ]
    assert said[0] == said[1] == said[2]
    assert said[0].next_at == START + DEADLINES.launch


def test_a_process_that_starts_anew_gives_what_it_finds_its_full_time() -> None:
    found = seen(FirstSeen(), booting(DEADLINES.launch * 2), 0 * SECOND)
    assert not decide(found, START, DEADLINES).losses


@pytest.mark.parametrize("wrong", WRONG)
def test_a_sick_node_is_replaced_after_its_time_by_our_own_clock(wrong: timedelta) -> None:
    sick = node(0, ready=False).model_copy(update={"not_ready_since": START - wrong})
    one = view(instances=(machine(0, age=timedelta(days=1)),), nodes=(sick,), was_ready=frozenset({name_of(0)}))
    clocks = FirstSeen()
    seen(clocks, one, 0 * SECOND)
    almost = DEADLINES.not_ready - SECOND
    assert not decide(seen(clocks, one, almost), START + almost, DEADLINES).losses
    assert decide(seen(clocks, one, DEADLINES.not_ready), START + DEADLINES.not_ready, DEADLINES).losses


def test_what_is_gone_is_forgotten() -> None:
    clocks = FirstSeen()
    behind = DEADLINES.launch
    seen(clocks, booting(behind), 0 * SECOND)
    seen(clocks, view(demand(0)), SECOND)
    assert seen(clocks, booting(behind), behind).began(machine(0, age=behind)) == START + behind
