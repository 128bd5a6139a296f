"""The process that measures a server, on a server that streams as OpenAI's interface does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.inference.benchmark.job import BenchmarkError, Job
from services.inference.benchmark.ladder import Shape
from services.inference.benchmark.process import measure_apart
from tests.unit.test_benchmark_result import KEY

JsonBody = dict[str, object]


class Model:
    """Streams as many tokens as it is asked for, or what a test tells it to; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[JsonBody, Mapping[str, str]]] = []
        self.running = self.most = 0
        self.status = 200
        self.lines: list[str] | None = None
        self.held = asyncio.Event()
        self.held.set()
        app = web.Application()
        app.router.add_post("/v1/completions", self._complete)
        self.server = TestServer(app, host="127.0.0.1")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((body, request.headers))
        if self.status != 200:
            return web.json_response({"error": {"message": "No, thanks."}}, status=self.status)
        self.running += 1
        self.most = max(self.most, self.running)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self.held.wait()
            for line in self.lines if self.lines is not None else _stream(body):
                await response.write(f"data: {line}\n\n".encode())
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        return response

    def job(self, **changed: object) -> Job:
        shape = Shape(prompt_tokens=6, output_tokens=3, most=4)
        job = Job(
            url=f"http://127.0.0.1:{self.server.port}", model="m", mark="the mark", api_key="key", shape=shape,
            budget_s=30, vocabulary=5_000,
        )  # fmt: skip
        return job.model_copy(update=changed)


def _stream(body: JsonBody) -> list[str]:
    tokens, prompt = body["max_tokens"], body["prompt"]
    assert isinstance(tokens, int)
    assert isinstance(prompt, list)
    pieces = [json.dumps({"choices": [{"text": "x"}]}) for _ in range(tokens)]
    usage = {"choices": [], "usage": {"prompt_tokens": len(prompt), "completion_tokens": tokens}}
    return [*pieces, json.dumps(usage), "[DONE]"]


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    found = Model()
    await found.server.start_server()
    yield found
    await found.server.close()


async def test_it_asks_as_a_user_does_with_the_key_and_the_mark_and_counts_the_servers_tokens(model: Model) -> None:
    result = await measure_apart(model.job(), KEY)
    assert result.key == KEY
    assert result.levels[0].concurrency == 1
    assert result.levels[0].answered == 2
    assert result.peak.tokens_per_minute == pytest.approx(3 * result.peak.output_tokens_per_minute, rel=0.01)
    assert model.most <= 4
    for body, headers in model.asked:
        assert (headers["Authorization"], headers["X-Kaitobus-Benchmark"]) == ("Bearer key", "the mark")
        assert (body["model"], body["stream"], body["ignore_eos"]) == ("m", True, True)
        assert body["min_tokens"] == body["max_tokens"]
    assert model.asked[0][0]["max_tokens"] == 1  # what is slow but once is not counted


@pytest.mark.parametrize(
    ("status", "lines", "says"),
    [
        (500, None, "it answers 500: .*No, thanks"),
        (200, ['{"error": {"message": "out of memory"}}'], "it broke off: .*out of memory"),
        (200, ["{"], "does not answer as it should"),
        (200, [], "without a token"),
        (200, ["[DONE]"], "without a token"),
    ],
)
async def test_what_goes_wrong_is_told_in_the_servers_words(
    model: Model, status: int, lines: list[str] | None, says: str
) -> None:
    model.status, model.lines = status, lines
    with pytest.raises(BenchmarkError, match=says):
        await measure_apart(model.job(), KEY)


async def test_a_server_that_is_not_there_or_never_answers_is_told(model: Model) -> None:
    with pytest.raises(BenchmarkError, match="does not answer as it should"):
        await measure_apart(model.job(url="http://127.0.0.1:9"), KEY)
    model.held.clear()
    with pytest.raises(BenchmarkError, match="not one token came"):
        await measure_apart(model.job(budget_s=0.3), KEY)
    model.held.set()


async def test_who_is_cancelled_leaves_no_request_behind(model: Model) -> None:
    model.held.clear()
    task = asyncio.create_task(measure_apart(model.job(), KEY))
    async with asyncio.timeout(60):
        while not model.running:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    asked = len(model.asked)
    model.held.set()
    async with asyncio.timeout(60):
        while model.running:
            await asyncio.sleep(0.01)
    assert len(model.asked) == asked
