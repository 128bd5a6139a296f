"""The figures of the serving benchmark are what their names say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.serving import Load, Sample, main, p99, summarize, table

LOAD = Load(concurrency=2, requests=2, prompt_tokens=4, output_tokens=5)


def test_tokens_a_second_are_those_of_all_answers_over_the_whole_time() -> None:
    found = summarize(LOAD, [Sample(10.0, 10.5, 12.5, 5), Sample(11.0, 11.1, 14.0, 7)], failed=1)
    assert (found.tokens, found.seconds, found.answered, found.failed) == (12, 4.0, 2, 1)
    assert found.tokens_per_second == 3
    assert found.first_token_median == pytest.approx(0.3)
    assert found.first_token_p99 == 0.5
    assert found.each_token_median == pytest.approx((0.5 + 2.9 / 6) / 2)
    assert "3.0" in table([found])


def test_no_answer_gives_zeros_and_one_token_no_division_by_zero() -> None:
    assert summarize(LOAD, [], failed=2).tokens_per_second == 0
    assert Sample(0, 1, 1, 1).each_token_s == 0


def test_the_99th_of_a_hundred() -> None:
    assert p99([float(n) for n in range(1, 101)]) == 99
    assert p99([3.0, 1.0]) == 3


def test_a_server_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "http://127.0.0.1:9/v1", "--requests", "1"]) == 1
    assert "cannot be measured" in capsys.readouterr().err


@given(at_once=st.integers(1, 600), requests=st.integers(1, 5000), processes=st.integers(1, 40))
def test_processes_send_together_what_one_would(at_once: int, requests: int, processes: int) -> None:
    loads = Load(at_once, requests, prompt_tokens=8, output_tokens=4, seed=3).divided(processes)
    assert sum(load.concurrency for load in loads) == at_once
    assert sum(load.requests for load in loads) == requests
    assert len(loads) == min(processes, at_once)
    assert all(load.concurrency for load in loads)
    assert len({load.seed for load in loads}) == len(loads)
