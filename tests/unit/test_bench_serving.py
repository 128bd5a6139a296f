"""The serving benchmark's table, and what it says where there is nothing to measure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.benchmark.figures import Load, Sample, summarize
from tests.bench.serving import main, table

LOAD = Load(concurrency=2, requests=2, prompt_tokens=4, output_tokens=5)


def test_a_table_has_a_row_for_each_load() -> None:
    assert "3.0" in table([summarize(LOAD, [Sample(10.0, 10.5, 14.0, 12)], failed=0)])


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
