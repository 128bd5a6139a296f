"""A process that dies is started again: at once the first time, later with growing pauses."""

from __future__ import annotations

from itertools import pairwise

from deploy.local.restarts import LONGEST_PAUSE, STEADY, Restarts


def pauses(lives: list[float]) -> list[float]:
    """How long each death is waited for, when the process lives so many seconds after each start."""
    known, now, found = Restarts(), 0.0, []
    for life in lives:
        known = known.started(now)
        now += life
        known = known.died(now)
        found.append(round(known.due - now, 6))
        now = known.due
    return found


def test_what_has_never_run_is_started_at_once() -> None:
    assert Restarts().died(100.0).due == 0.0


def test_the_first_death_is_mended_at_once() -> None:
    assert pauses([1.0]) == [0.0]


def test_pauses_double_up_to_a_limit_while_it_keeps_dying() -> None:
    found = pauses([0.1] * 12)

    assert found[:4] == [0.0, 0.5, 1.0, 2.0]
    assert all(later >= earlier for earlier, later in pairwise(found))
    assert found[-1] == LONGEST_PAUSE


def test_a_long_life_makes_the_next_death_the_first_one_again() -> None:
    assert pauses([0.1, 0.1, 0.1, STEADY, 0.1]) == [0.0, 0.5, 1.0, 0.0, 0.5]


def test_a_death_that_was_noted_is_not_counted_again_at_the_next_look() -> None:
    noted = Restarts().started(0.0).died(1.0).started(1.0).died(2.0)

    assert noted.died(2.1) == noted
