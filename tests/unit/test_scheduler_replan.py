"""What becomes of a plan that there is: when it is kept, when made anew, and what is done when its offer fails."""

from __future__ import annotations

from datetime import timedelta

from services.contracts.conditions import Reason
from services.contracts.errors import FailureCode
from services.contracts.offers import Offers
from services.scheduler.decide import SET_ASIDE_FOR
from services.scheduler.demands import demands_for
from tests.unit.planning import (
    A10,
    CLOUD,
    FAKE,
    LAPTOP,
    NOW,
    decided,
    failure,
    gpu,
    planned,
    workspace,
)


def test_a_plan_stands_while_nothing_it_was_made_from_changes() -> None:
    plan = planned(workspace())
    cheaper = CLOUD.model_copy(update={"offers": (gpu("new", 79, 0.01), *CLOUD.offers)})
    assert planned(workspace(), (cheaper,), previous=plan) == plan


def test_a_plan_outlives_its_provider() -> None:
    plan = planned(workspace())
    assert planned(workspace(), (), previous=plan) == plan


def test_a_changed_spec_gives_the_next_revision() -> None:
    plan = planned(workspace())
    changed = planned(workspace(config="vllm: {max-model-len: 4096}"), previous=plan)
    assert changed.revision == plan.revision + 1


def test_another_wish_for_a_benchmark_changes_nothing_but_that() -> None:
    first = planned(workspace())
    cheaper = CLOUD.model_copy(update={"offers": (gpu("new", 79, 0.1), *CLOUD.offers)})
    before = first
    for text, wish in (("now", "now"), ("please", "off"), ("off", "off"), ("idle", "idle"), (None, None)):
        said = {"kaito.sh/benchmark": text} if text else {}
        plan = planned(workspace(annotations=said), (cheaper,), previous=before)
        assert (plan.serving.benchmark, bool(plan.serving.benchmark_fault)) == (wish, text == "please")
        assert plan.revision == before.revision + 1
        assert plan == first.model_copy(update={"revision": plan.revision, "serving": plan.serving})
        before = plan
    assert planned(workspace(), (cheaper,), previous=before) == before


def test_a_wish_for_a_benchmark_that_cannot_be_read_takes_nothing_from_the_plan() -> None:
    for previous in (None, planned(workspace())):
        decision = decided(workspace(annotations={"kaito.sh/benchmark": "please"}), previous=previous)
        assert (decision.condition.reason, decision.condition.is_true) == (Reason.PLANNED, True)
        assert decision.plan is not None
        assert "it is 'please'" in str(decision.plan.serving.benchmark_fault)


def test_a_change_that_cannot_be_planned_keeps_the_plan_and_says_so() -> None:
    plan = planned(workspace())
    decision = decided(workspace(config="vllm: [1]"), previous=plan)
    assert (decision.plan, decision.condition.reason) == (plan, Reason.INVALID_CONFIG)


def test_an_offer_that_fails_is_set_aside_and_the_next_is_planned() -> None:
    plan = planned(workspace())
    second = planned(workspace(), previous=plan, reports=(failure(plan),))
    assert (second.instance_type, second.revision) == ("A100", 2)
    assert [(a.instance_type, a.code) for a in second.set_aside] == [("A10", FailureCode.QUOTA_EXCEEDED)]


def test_a_failure_that_passes_by_itself_changes_nothing() -> None:
    plan = planned(workspace())
    assert planned(workspace(), previous=plan, reports=(failure(plan, FailureCode.THROTTLED),)) == plan


def test_a_named_size_that_fails_is_not_replaced_by_another() -> None:
    plan = planned(workspace(instance_type="A10"))
    assert planned(workspace(instance_type="A10"), previous=plan, reports=(failure(plan),)) == plan


def test_a_named_size_that_fails_says_what_else_would_do_and_what_to_change() -> None:
    plan = planned(workspace(instance_type="A10"))
    decision = decided(workspace(instance_type="A10"), previous=plan, reports=(failure(plan),))
    assert decision.plan == plan
    assert "A100 ($3.7 an hour) of cloud would do." in decision.condition.message
    assert "delete the Workspace and apply it with another one" in (decision.next_step or "")


def test_what_was_set_aside_and_why_stands_in_the_plan() -> None:
    plan = planned(workspace())
    second = planned(workspace(), previous=plan, reports=(failure(plan),))
    assert "A10 of cloud failed (QuotaExceeded: no quota in eastus)" in second.why[-1]
    assert "12:10 UTC" in second.why[-1]


def test_when_all_offers_failed_their_words_are_told_and_it_is_tried_again_later() -> None:
    first = planned(workspace())
    second = planned(workspace(), previous=first, reports=(failure(first),))
    decision = decided(workspace(), previous=second, reports=(failure(second),))
    assert "A10 of cloud failed: no quota in eastus" in decision.condition.message
    assert decision.again is not None
    assert decision.again <= SET_ASIDE_FOR.total_seconds()


def test_an_offer_is_tried_again_after_a_while() -> None:
    first = planned(workspace())
    second = planned(workspace(), previous=first, reports=(failure(first),))
    later = NOW + SET_ASIDE_FOR + timedelta(seconds=1)
    offers = CLOUD.model_copy(update={"published_at": later})
    third = planned(workspace(), (offers,), previous=second, reports=(failure(second),), now=later)
    assert third.instance_type == "A10"


def test_the_old_provider_lets_go_before_the_new_one_is_asked() -> None:
    first = planned(workspace())
    other = Offers(provider="other", offers=(gpu("B", 79, 9.0),), published_at=NOW)
    only_a10 = CLOUD.model_copy(update={"offers": (A10,)})
    second = planned(workspace(), (only_a10, other), previous=first, reports=(failure(first),))
    assert [(d.provider, d.nodes) for d in demands_for(workspace(), second)] == [("cloud", 0), ("other", 1)]


def test_what_a_workspace_holds_itself_is_open_to_it_though_it_was_the_last() -> None:
    before = decided(workspace("smollm2-135m-instruct"), (LAPTOP, FAKE)).plan
    assert before is not None
    used_up = LAPTOP.model_copy(update={"offers": tuple(o.model_copy(update={"available": 0}) for o in LAPTOP.offers)})
    changed = workspace("smollm2-135m-instruct", config="vllm:\n  max-model-len: 512")
    after = decided(changed, (used_up, FAKE), previous=before).plan
    assert after is not None
    assert (after.provider, after.instance_type) == (before.provider, before.instance_type)
