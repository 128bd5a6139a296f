"""Which servers are started anew by a newer deployer, and when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import JsonObject, Key
from services.contracts.adapters import PlannedLora
from services.contracts.plan import Plan
from services.contracts.serving import Serving
from services.deployer.manifests import Images, render
from services.deployer.report import WAITS, Observed, to_report
from services.deployer.rollout import (
    LIMIT,
    SINCE,
    digests,
    is_under_way,
    is_upgrade,
    marked,
    marks,
    next_turns,
)
from tests.unit.samples import NOW, lora, plan, plan_state, pod


def rendered(made: Plan | None = None, image: str = "one") -> JsonObject:
    return render(plan_state(made), Images(image))[-1]


def wanted(made: Plan | None = None, image: str = "one") -> dict[str, str]:
    return digests(plan_state(made), rendered(made, image))


def found(*, ready: int = 1, updated: int = 1, annotations: dict[str, str] | None = None) -> JsonObject:
    """A StatefulSet of the sample plan as the API server has it."""
    made = marked(rendered(), annotations or marks(None, wanted(), NOW))
    return made | {"status": {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": updated}}


def test_another_template_of_the_same_plan_is_an_upgrade() -> None:
    assert is_upgrade(found(), wanted(image="two"))
    assert not is_upgrade(found(), wanted())


@pytest.mark.parametrize(
    "changed",
    [
        {"nodes": 2}, {"generation": 2}, {"lora": lora("a")}, {"serving": Serving(max_requests=7)},
        {"engine": plan(flags={"max-num-seqs": "8"}).engine}, {"lora": PlannedLora(pull_secrets=("s",))},
    ],
)  # fmt: skip
def test_what_a_user_changes_is_none_whatever_deployer_renders_it(changed: dict[str, object]) -> None:
    made = plan().model_copy(update=changed)
    assert not is_upgrade(found(), wanted(made, "two"))


@pytest.mark.parametrize(
    "changed",
    [
        {"revision": 7, "why": ("x",)},
        {"serving": Serving(benchmark="now-2")},
        {"serving": Serving(benchmark_fault="x")},
    ],
)
def test_what_reaches_a_running_server_does_not_make_an_upgrade_a_users_change(changed: dict[str, object]) -> None:
    made = plan().model_copy(update=changed)
    assert not is_upgrade(found(), wanted(made))
    assert is_upgrade(found(), wanted(made, "two"))


def test_other_adapters_in_a_server_with_room_for_them_do_not_either() -> None:
    before, after = (plan().model_copy(update={"lora": lora(*names)}) for names in (("a",), ("a", "b")))
    assert wanted(before) == wanted(after)


def test_one_of_before_there_were_digests_is_upgraded_in_its_turn() -> None:
    assert is_upgrade(found(annotations={"theirs": "kept"}), wanted())


def test_since_when_an_upgrade_is_under_way_is_kept_until_a_user_changes_something() -> None:
    upgraded = marks(found(), wanted(image="two"), NOW)
    assert upgraded[SINCE] == NOW.isoformat()
    again = marks(found(annotations=upgraded), wanted(image="two"), NOW + timedelta(hours=1))
    assert again == upgraded
    assert SINCE not in marks(found(annotations=upgraded), wanted(plan(flags={"seed": "1"}), "two"), NOW)
    assert SINCE not in marks(found(ready=0), wanted(image="two"), NOW)  # it took nobody's server away


def test_an_upgrade_is_under_way_until_all_is_ready_again_or_for_too_long() -> None:
    upgraded = marks(found(), wanted(image="two"), NOW)
    for ready, updated, under_way in ((0, 1, True), (1, 0, True), (1, 1, False)):
        assert is_under_way(found(ready=ready, updated=updated, annotations=upgraded), NOW) is under_way
    down = found(ready=0, annotations=upgraded)
    assert not is_under_way(down, NOW + LIMIT)
    assert not is_under_way(found(ready=0), NOW)
    for text in ("yesterday", "2026-01-01T12:00:00"):
        assert not is_under_way(found(ready=0, annotations={SINCE: text}), NOW)


def key(number: int) -> Key:
    return ("team", f"w{number}")


def test_turns_are_given_in_order_while_there_is_room() -> None:
    under_way = found(ready=0, annotations=marks(found(), wanted(image="two"), NOW))
    sets = {key(0): under_way} | {key(n): found() for n in range(1, 5)}
    waiting = [key(n) for n in (3, 1, 2, 9)]
    assert next_turns(sets, waiting, (), 1, NOW) == []
    assert next_turns(sets, waiting, (), 2, NOW) == [key(3)]
    assert next_turns(sets, waiting, (key(3),), 2, NOW) == []
    assert next_turns(sets, waiting, (key(3),), 3, NOW) == [key(1)]
    assert next_turns(sets, waiting, (), 1, NOW + LIMIT) == [key(3)]


def test_one_that_serves_nobody_waits_for_nobody() -> None:
    sets = {key(0): found(), key(1): found(ready=0)}
    assert next_turns(sets, [key(0), key(1)], [key(2)], 1, NOW) == [key(1)]


@given(st.lists(st.sampled_from(("serves", "down", "under way", "new")), max_size=8), st.integers(1, 3))
def test_never_more_servers_are_taken_away_than_may_be_and_all_have_a_turn_in_the_end(
    kinds: list[str], at_once: int
) -> None:
    upgraded = marks(found(), wanted(image="two"), NOW)
    of_kind = {
        "serves": found(), "down": found(ready=0),
        "under way": found(ready=0, annotations=upgraded), "new": found(annotations=upgraded),
    }  # fmt: skip
    sets = {key(n): of_kind[kind] for n, kind in enumerate(kinds)}
    waiting = [key(n) for n, kind in enumerate(kinds) if kind in ("serves", "down")]
    allowed = max(at_once, kinds.count("under way"))
    for _ in kinds:
        turns = next_turns(sets, waiting, (), at_once, NOW)
        sets |= {one: found(ready=0, annotations=marks(sets[one], wanted(image="two"), NOW)) for one in turns}
        assert sum(is_under_way(one, NOW) for one in sets.values()) <= allowed
        waiting = [one for one in waiting if one not in turns]
        sets |= {one: of_kind["new"] for one, there in sets.items() if is_under_way(there, NOW)}
    assert not waiting


def test_that_it_waits_is_told_with_what_else_there_is_to_tell() -> None:
    for ready in (True, False):
        told = to_report(plan_state(), Observed(pods=(pod(ready=ready),), waits_for_turn=True))
        assert told.conditions[0].is_true is ready
        assert told.conditions[0].message.endswith(WAITS)
