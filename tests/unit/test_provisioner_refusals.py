"""What is remembered of the cloud's refusals, and for whom."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.refusals import Pauses, Refusals
from tests.unit.provisioner_cloud import START, demand

LATER = START + timedelta(seconds=1)


def refused(code: FailureCode, **fields: object) -> Refusals:
    refusals = Refusals(Pauses())
    refusals.note(demand(), ProviderError(code, "no", **fields), START)  # type: ignore[arg-type]
    return refusals


def test_a_refusal_holds_for_minutes_and_then_no_more() -> None:
    refusals = refused(FailureCode.QUOTA_EXCEEDED)
    assert refusals.of(demand(), START + timedelta(minutes=2)) is not None
    assert refusals.of(demand(), START + timedelta(minutes=3)) is None


def test_what_may_pass_is_tried_again_soon() -> None:
    held = refused(FailureCode.INTERNAL).of(demand(), LATER)
    assert held is not None
    assert held.retry_at == START + timedelta(seconds=10)


def test_the_clouds_own_word_on_when_to_come_back_counts() -> None:
    held = refused(FailureCode.THROTTLED, retry_after=42).of(demand(), LATER)
    assert held is not None
    assert held.retry_at == START + timedelta(seconds=42)


@pytest.mark.parametrize(
    ("code", "shared"),
    [
        (c, c is not FailureCode.INTERNAL)
        for c in FailureCode
        if c not in (FailureCode.TIMEOUT, FailureCode.INVALID_REQUEST)
    ],
)
def test_quota_and_capacity_concern_all_who_ask_for_that_size(code: FailureCode, shared: bool) -> None:
    other = demand(uid="uid-2")
    assert (refused(code).of(other, LATER) is not None) is shared


def test_a_bad_request_concerns_nobody_else() -> None:
    assert refused(FailureCode.INVALID_REQUEST).of(demand(uid="uid-2"), LATER) is None


def test_other_sizes_and_other_parameters_are_not_concerned() -> None:
    refusals = refused(FailureCode.INSUFFICIENT_CAPACITY)
    assert refusals.of(demand(size="Standard_B"), LATER) is None
    assert refusals.of(demand().model_copy(update={"parameters": {"capacity": "spot"}}), LATER) is None
    assert refusals.of(demand(size="standard_a"), LATER) is not None
