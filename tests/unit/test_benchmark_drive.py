"""Which loads are sent, how many there are, and when it ends: in virtual time, on a server that is a formula."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.benchmark.drive import measure
from services.inference.benchmark.figures import Sample, Summary
from services.inference.benchmark.job import BenchmarkError, Job
from services.inference.benchmark.ladder import (
    ANSWER,
    CPU_ANSWER,
    CPU_PROMPT,
    PROMPT,
    ROUNDS,
    Shape,
    counts,
    peak,
    shape_of,
)
from tests.unit.virtual_time import run


def job(most: int = 64, budget_s: float = 1000.0, vocabulary: int = 50_000) -> Job:
    shape = Shape(prompt_tokens=20, output_tokens=10, most=most)
    return Job(url="http://x", model="m", mark="s", shape=shape, budget_s=budget_s, vocabulary=vocabulary)


class Server:
    """Makes one token of each request a step. A step takes `step_s`, and longer above `batch` requests at once."""

    def __init__(self, step_s: float = 0.1, batch: int = 16, fails_at: int = 0) -> None:
        self.step_s, self.batch, self.fails_at = step_s, batch, fails_at
        self.running = self.most = self.asked = 0
        self.prompts: list[tuple[int, ...]] = []

    async def ask(self, prompt: list[int], tokens: int) -> Sample:
        self.asked += 1
        self.prompts.append(tuple(prompt))
        if self.asked == self.fails_at:
            raise BenchmarkError("it answers 500: no.")
        self.running += 1
        self.most = max(self.most, self.running)
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        try:
            for _ in range(tokens):
                await asyncio.sleep(self.step_s * max(1.0, self.running / self.batch))
                times.append(loop.time())
        finally:
            self.running -= 1
        return Sample(times[0], times[1], times[-1], tokens, len(prompt))


def found(server: Server, wanted: Job) -> list[Summary]:
    return run(measure(wanted, server.ask))


def test_it_rises_by_fours_until_more_at_once_is_no_better() -> None:
    server = Server(batch=16)
    loads = found(server, job(most=1024))
    assert [load.concurrency for load in loads] == [1, 4, 16, 64]
    assert [load.answered for load in loads] == [ROUNDS * load.concurrency for load in loads]
    best = peak(loads)
    assert best is not None
    assert best.concurrency == 16
    assert best.tokens_per_second == pytest.approx(160)
    assert best.all_tokens_per_minute == pytest.approx(60 * 3 * 160)
    assert best.each_token_median == pytest.approx(0.1)


def test_no_more_are_under_way_than_the_engine_takes() -> None:
    server = Server(batch=1000)
    assert [load.concurrency for load in found(server, job(most=30))] == [1, 4, 16, 30]
    assert server.most == 30


def test_the_time_ends_it_and_what_is_half_done_counts_only_where_each_has_answered() -> None:
    # The warm-up takes 0.1 s, then the loads 2 s each: the third has 8 of 16 requests answered when the time is over.
    server = Server(batch=1000)
    assert [load.concurrency for load in found(server, job(budget_s=4.2))] == [1, 4]
    assert server.running == 0
    assert [load.concurrency for load in found(Server(batch=1000), job(budget_s=5.2))] == [1, 4, 16]


@pytest.mark.parametrize(("budget_s", "says"), [(0.05, "not one token came"), (0.9, "not one answer of 10 tokens")])
def test_a_server_that_is_too_slow_is_told(budget_s: float, says: str) -> None:
    with pytest.raises(BenchmarkError, match=says):
        found(Server(), job(budget_s=budget_s))


@pytest.mark.parametrize("fails_at", [1, 2, 5])
def test_the_first_fault_ends_it_with_the_servers_words(fails_at: int) -> None:
    server = Server(fails_at=fails_at)
    with pytest.raises(BenchmarkError, match="it answers 500: no"):
        found(server, job())
    assert server.running == 0


def test_no_prompt_is_like_another_and_all_are_of_tokens_that_the_model_has() -> None:
    for vocabulary in (3, 500, 1_500, 50_000):
        server = Server()
        found(server, job(most=4, vocabulary=vocabulary))
        assert {len(prompt) for prompt in server.prompts} == {20}
        assert all(0 <= token < vocabulary for prompt in server.prompts for token in prompt)
        assert vocabulary < 100 or len(set(server.prompts)) == len(server.prompts)


@settings(max_examples=50)
@given(step_s=st.floats(0.001, 20), batch=st.integers(1, 300), most=st.integers(1, 300), budget_s=st.floats(0.01, 500))
def test_whatever_the_server_it_ends_in_time_and_tells_only_whole_loads(
    step_s: float, batch: int, most: int, budget_s: float
) -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        try:
            loads = await measure(job(most, budget_s), Server(step_s, batch).ask)
        except BenchmarkError:
            return loop.time()
        assert loads
        assert all(counts(load) and 1 <= load.concurrency <= most for load in loads)
        return loop.time()

    assert run(timed()) <= budget_s + 1e-6


def test_lengths_are_kaitos_with_a_gpu_and_small_without() -> None:
    big = shape_of(gpu=True, context=8192, kv_tokens=400_000, at_once=256)
    assert big == Shape(prompt_tokens=PROMPT, output_tokens=ANSWER, most=400_000 // (PROMPT + ANSWER))
    small = shape_of(gpu=False, context=8192, kv_tokens=None, at_once=128)
    assert small == Shape(prompt_tokens=CPU_PROMPT, output_tokens=CPU_ANSWER, most=128)


@given(
    gpu=st.booleans(),
    context=st.integers(2, 1_000_000),
    kv_tokens=st.none() | st.floats(0, 1e9),
    at_once=st.integers(1, 4096),
)
def test_a_request_fits_the_context_and_all_of_them_the_cache(
    gpu: bool, context: int, kv_tokens: float | None, at_once: int
) -> None:
    shape = shape_of(gpu=gpu, context=context, kv_tokens=kv_tokens, at_once=at_once)
    whole = shape.prompt_tokens + shape.output_tokens
    assert whole <= context
    assert shape.most <= at_once
    assert shape.most == 1 or not kv_tokens or shape.most * whole <= kv_tokens
