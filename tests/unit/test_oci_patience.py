"""Failures are borne for a while, with pauses that grow."""

from __future__ import annotations

import pytest

from services.inference.oci.errors import Denied, Passing
from services.inference.oci.patience import Patience, patiently


def test_pauses_grow_and_end() -> None:
    paused: list[float] = []

    def fail() -> None:
        raise Passing("not now")

    with pytest.raises(Passing, match="not now"):
        patiently(Patience(tries=6, first=1, longest=5, pause=paused.append), fail)
    assert paused == [1, 2, 4, 5, 5]


def test_a_registry_that_asks_for_a_pause_gets_it_within_reason() -> None:
    paused: list[float] = []
    answers = iter([Passing("429", after=30), Passing("429", after=86400)])

    def call() -> str:
        if error := next(answers, None):
            raise error
        return "done"

    assert patiently(Patience(first=1, longest_asked=60, pause=paused.append), call) == "done"
    assert paused == [30, 60]


def test_what_does_not_pass_is_not_tried_again() -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise Denied("no")

    with pytest.raises(Denied):
        patiently(Patience(), call)
    assert calls == [1]
