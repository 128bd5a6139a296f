"""A process is ready while its own pulls are answered, whatever other processes pull."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.chassis.pulls import FETCH_SECONDS, SILENT_AFTER, Pulls


@dataclass(eq=False)
class Subscription:
    """Counts answers, as that of the client does."""

    delivered: int = 0


class Process:
    """Two workers, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reconnects = 0
        self.subscription: Subscription | None = Subscription()
        self.pulls = Pulls(workers=2, clock=lambda: self.now)

    def problem(self, after: float = 0.0, answers: int = 0) -> str | None:
        """What is wrong so many seconds and answers later."""
        self.now += after
        if self.subscription:
            self.subscription.delivered += answers
        return self.pulls.problem(self.subscription, self.reconnects)


@pytest.fixture
def process() -> Process:
    made = Process()
    assert made.problem() is None
    return made


def test_nothing_is_pulled_before_the_subscription_is_there(process: Process) -> None:
    process.subscription = None
    assert process.problem() == "it is not pulled from yet"


def test_each_answer_is_a_sign_of_life(process: Process) -> None:
    for _ in range(100):
        assert process.problem(after=FETCH_SECONDS, answers=1) is None


def test_so_is_it_where_it_is_rarely_asked(process: Process) -> None:
    assert process.problem(after=3600, answers=700) is None


def test_without_an_answer_it_is_not_ready_and_is_again_with_the_next(process: Process) -> None:
    assert process.problem(after=SILENT_AFTER) is None
    assert process.problem(after=5) == "no pull of this process was answered for 20 s"
    assert process.problem(answers=1) is None


def test_a_new_subscription_has_time_for_its_first_pull(process: Process) -> None:
    process.now += 3600
    process.subscription = Subscription()
    assert process.problem() is None


def test_so_has_a_new_connection(process: Process) -> None:
    process.now += 3600
    process.reconnects += 1
    assert process.problem() is None
    assert process.problem(after=SILENT_AFTER + 1) is not None


def test_nothing_is_pulled_while_all_hands_are_full_and_that_is_well(process: Process) -> None:
    with process.pulls.at_work(), process.pulls.at_work():
        assert process.problem(after=3600) is None
    assert process.problem() is None  # the next pull is on its way
    assert process.problem(after=SILENT_AFTER + 1) is not None


def test_with_a_hand_free_it_must_pull(process: Process) -> None:
    with process.pulls.at_work():
        assert process.problem(after=3600) is not None


def test_a_hand_that_fails_is_free_again(process: Process) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="x"), process.pulls.at_work():
            raise ValueError("x")
    assert process.problem(after=3600) is not None
