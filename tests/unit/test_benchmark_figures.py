"""The figures of benchmarks are what their names say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.benchmark.figures import Load, Sample, percentile, summarize

LOAD = Load(concurrency=2, requests=2, prompt_tokens=4, output_tokens=5)


def test_tokens_a_second_are_those_of_all_answers_over_the_whole_time() -> None:
    found = summarize(LOAD, [Sample(10.0, 10.5, 12.5, 5, 20), Sample(11.0, 11.1, 14.0, 7, 21)], failed=1)
    assert (found.tokens, found.prompt_tokens, found.seconds, found.answered, found.failed) == (12, 41, 4.0, 2, 1)
    assert found.tokens_per_second == 3
    assert found.all_tokens_per_minute == 60 * (12 + 41) / 4
    assert found.first_token_median == pytest.approx(0.3)
    assert found.first_token_p90 == found.first_token_p99 == 0.5
    assert found.each_token_median == pytest.approx((0.5 + 2.9 / 6) / 2)


def test_no_answer_gives_zeros_and_one_token_no_division_by_zero() -> None:
    nothing = summarize(LOAD, [], failed=2)
    assert nothing.tokens_per_second == nothing.all_tokens_per_minute == nothing.each_token_p90 == 0
    assert Sample(0, 1, 1, 1).each_token_s == 0


def test_the_percentiles_of_a_hundred_and_of_two() -> None:
    assert [percentile([float(n) for n in range(1, 101)], percent) for percent in (50, 90, 99)] == [50, 90, 99]
    assert percentile([3.0, 1.0], 99) == 3


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)
