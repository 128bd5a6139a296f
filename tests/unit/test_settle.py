"""What becomes of a message after its handler: done, again, or put aside. Nothing is lost, nothing is hammered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.chassis.settle import (
    FIRST_DELAY,
    LONGEST_DELAY,
    Ack,
    Again,
    DeadLetter,
    Nak,
    Outdated,
    UnreadableObject,
    backoff,
    jittered,
    readable,
    settle,
)
from services.chassis.settling import REMEMBERED, Failures
from services.contracts.messages import Report


def unreadable() -> ValidationError:
    try:
        Report.model_validate({"name": "w", "generation": "many"})
    except ValidationError as error:
        return error
    raise AssertionError("that report can be read")


def test_a_handler_that_returns_is_done() -> None:
    assert settle(None, None, 0) == Ack()


def test_a_handler_that_asks_to_see_it_again_is_shown_it_after_that_time() -> None:
    assert settle(Again(2.5), None, 0) == Nak(2.5, failed=False)


@pytest.mark.parametrize("error", [RuntimeError("x"), ConnectionError("x"), TimeoutError(), UnreadableObject("x")])
def test_a_handler_that_fails_gets_it_again_after_a_pause(error: Exception) -> None:
    settled = settle(None, error, 0)
    assert isinstance(settled, Nak)
    assert settled.failed
    assert 0.8 * FIRST_DELAY <= settled.delay <= 1.2 * FIRST_DELAY


def test_who_lost_a_compare_and_set_decides_anew_at_once_and_has_not_failed() -> None:
    settled = settle(None, Outdated("subject"), 5)
    assert isinstance(settled, Nak)
    assert not settled.failed
    assert settled.delay < 0.1


def test_what_no_retry_can_read_is_put_aside_with_its_error() -> None:
    settled = settle(None, unreadable(), 3)
    assert isinstance(settled, DeadLetter)
    assert settled.error_type == "ValidationError"
    assert settled.error


@given(st.integers(min_value=0, max_value=10_000))
def test_the_pause_is_never_longer_than_the_longest_nor_shorter_than_the_first(failures: int) -> None:
    assert 0.8 * FIRST_DELAY <= backoff(failures) <= 1.2 * LONGEST_DELAY


@given(st.integers(min_value=0, max_value=5))
def test_the_pause_doubles(failures: int) -> None:
    assert backoff(failures) == pytest.approx(FIRST_DELAY * 2**failures, rel=0.21)


@given(st.floats(min_value=0, max_value=1e6))
def test_jitter_is_a_fifth_at_most(seconds: float) -> None:
    assert 0.8 * seconds <= jittered(seconds) <= 1.2 * seconds


def test_what_failed_together_does_not_come_back_together() -> None:
    assert len({backoff(3) for _ in range(20)}) > 1


def test_an_unreadable_message_is_told_by_its_fields() -> None:
    assert "generation: Input should be a valid integer" in readable(unreadable())


def test_an_error_without_words_is_told_by_its_name() -> None:
    assert readable(TimeoutError()) == "TimeoutError"


class TestFailures:
    """Failed tries in a row, by subject."""

    def test_they_add_up_until_a_success(self) -> None:
        failures = Failures()
        for _ in range(3):
            failures.note("s", failed=True)
        assert failures.count("s") == 3
        failures.note("s", failed=False)
        assert failures.count("s") == 0

    def test_each_subject_has_its_own(self) -> None:
        failures = Failures()
        failures.note("s", failed=True)
        assert failures.count("t") == 0

    def test_their_number_is_bounded(self) -> None:
        failures = Failures()
        for number in range(REMEMBERED + 5):
            failures.note(str(number), failed=True)
        assert failures.count("0") == 0
        assert failures.count(str(REMEMBERED + 4)) == 1
