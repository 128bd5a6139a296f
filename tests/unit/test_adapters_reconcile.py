"""What is done to have the adapters of a list: pure decisions, for any list and any past."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.inference.adapters.reconcile import FIRST_AGAIN_S, LONGEST_AGAIN_S, Have, State, again_after, reconcile
from services.inference.adapters.wanted import Adapter

NAMES = st.sampled_from(["a", "b", "c", "d"])
ADAPTERS = st.builds(Adapter, name=NAMES, strength=st.sampled_from([0.0, 0.5, 1.0]), image=st.sampled_from(["i", "j"]))
LISTS = st.lists(ADAPTERS, max_size=6)
NOW = 1000.0


@st.composite
def pasts(draw: st.DrawFn) -> dict[str, Have]:
    adapters = {adapter.name: adapter for adapter in draw(LISTS)}
    times = st.sampled_from([NOW - 1, NOW, NOW + 1])
    return {n: Have(a, draw(st.sampled_from(list(State))), draw(times)) for n, a in adapters.items()}


def after(have: dict[str, Have], wanted: list[Adapter]) -> dict[str, Have]:
    """What there is once the actions are done, and well."""
    actions = reconcile(wanted, have, NOW)
    left = {name: one for name, one in have.items() if name not in actions.drop}
    return left | {adapter.name: Have(adapter, State.READY) for adapter in actions.bring}


@given(LISTS, pasts())
def test_afterwards_there_is_what_is_wanted_and_nothing_else(wanted: list[Adapter], have: dict[str, Have]) -> None:
    first: dict[str, Adapter] = {}
    for adapter in wanted:
        first.setdefault(adapter.name, adapter)
    assert {name: one.wanted for name, one in after(have, wanted).items()} == first


@given(LISTS, pasts())
def test_done_twice_it_changes_nothing(wanted: list[Adapter], have: dict[str, Have]) -> None:
    done = {n: one for n, one in after(have, wanted).items() if one.state is not State.FAILED or one.again_at > NOW}
    again = reconcile([one.wanted for one in done.values()], done, NOW)
    assert again == ((), ())


@given(LISTS, pasts())
def test_what_is_as_wanted_is_not_touched(wanted: list[Adapter], have: dict[str, Have]) -> None:
    actions = reconcile(wanted, have, NOW)
    for adapter in actions.bring:
        known = have.get(adapter.name)
        assert known is None or known.wanted != adapter or (known.state is State.FAILED and known.again_at <= NOW)
    assert not {adapter.name for adapter in actions.bring} & set(actions.drop)


def test_a_failed_one_is_tried_again_when_it_is_due() -> None:
    wanted = Adapter(name="a", image="i")
    assert reconcile([wanted], {"a": Have(wanted, State.FAILED, NOW + 1)}, NOW) == ((), ())
    assert reconcile([wanted], {"a": Have(wanted, State.FAILED, NOW)}, NOW).bring == (wanted,)


def test_one_that_was_changed_is_brought_at_once_though_it_failed() -> None:
    have = {"a": Have(Adapter(name="a", image="i"), State.FAILED, NOW + 600)}
    assert reconcile([Adapter(name="a", image="j")], have, NOW).bring == (Adapter(name="a", image="j"),)


@given(st.integers(1, 10_000))
def test_pauses_grow_and_stay_bounded(failures: int) -> None:
    assert FIRST_AGAIN_S <= again_after(failures) <= again_after(failures + 1) <= LONGEST_AGAIN_S
