"""Sends the loads. Run as a program: a `Job` comes in as JSON, an `Answer` goes out."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final

import aiohttp

from services.inference.benchmark.figures import Load, Sample, Summary, summarize
from services.inference.benchmark.job import Answer, BenchmarkError, Job
from services.inference.benchmark.ladder import counts, next_load
from services.inference.gate import OWN

CONNECT_S: Final = 5.0

Ask = Callable[[list[int], int], Awaitable[Sample]]


async def measure(job: Job, ask: Ask) -> list[Summary]:
    """One load after the other until more at once is no better or the time is over. Raises BenchmarkError."""
    done: list[Summary] = []
    loop = asyncio.get_running_loop()
    deadline = loop.time() + job.budget_s
    await _within(deadline, ask(_prompt(job), 1))  # what is slow but once is not counted
    while loop.time() < deadline and (load := next_load(job.shape, done)):
        found = await send(job, load, ask, deadline)
        if not counts(found):
            break
        done.append(found)
    if not done:
        raise BenchmarkError(f"not one answer of {job.shape.output_tokens} tokens came within {job.budget_s:.0f} s.")
    return done


async def _within(deadline: float, asked: Awaitable[Sample]) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await asked
    except TimeoutError:
        raise BenchmarkError("not one token came in the time that it may take.") from None


async def send(job: Job, load: Load, ask: Ask, deadline: float) -> Summary:
    """Send a load, of which what is not answered at the deadline is given up. Raises BenchmarkError."""
    waiting = [_prompt(job) for _ in range(load.requests)]
    samples: list[Sample] = []

    async def work() -> None:
        while waiting:
            samples.append(await ask(waiting.pop(), load.output_tokens))

    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            await _side_by_side(work, load.concurrency)
    return summarize(load, samples, 0)


async def _side_by_side(work: Callable[[], Coroutine[object, object, None]], count: int) -> None:
    """The first fault of one ends all. Raises BenchmarkError."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None


def _prompt(job: Job) -> list[int]:
    """Random tokens, so that no cache of prefixes helps; not the first ones, which often are marks of the model's."""
    tokens = range(min(1_000, job.vocabulary // 2), min(20_000, job.vocabulary))
    return random.choices(tokens, k=job.shape.prompt_tokens)  # noqa: S311 - they are no secret


class Client:
    """Asks a server with OpenAI's routes for completions, as streams."""

    def __init__(self, session: aiohttp.ClientSession, job: Job) -> None:
        self._session, self._job = session, job
        key = {"Authorization": f"Bearer {job.api_key}"} if job.api_key else {}
        self._headers = {OWN: job.mark, **key}

    async def ask(self, prompt: list[int], tokens: int) -> Sample:
        """One answer of just so many tokens. Raises BenchmarkError."""
        body = {
            "model": self._job.model, "prompt": prompt, "max_tokens": tokens, "min_tokens": tokens, "temperature": 0,
            "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        url, start = f"{self._job.url}/v1/completions", time.perf_counter()
        try:
            async with self._session.post(url, json=body, headers=self._headers) as response:
                if response.status != 200:
                    words = (await response.text())[:300]
                    raise BenchmarkError(f"it answers {response.status}: {' '.join(words.split())}.")
                return await _read(response, start)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BenchmarkError(f"it does not answer as it should: {error or type(error).__name__}.") from error


async def _read(response: aiohttp.ClientResponse, start: float) -> Sample:
    """The stream: its first token, its end, and the tokens of its last word. Raises BenchmarkError, ValueError."""
    first, usage = 0.0, {"prompt_tokens": 0, "completion_tokens": 0}
    async for line in response.content:
        if not line.startswith(b"data: {") or (first and b'"usage"' not in line and b'"error"' not in line):
            continue  # most lines are one more token: to read them all would make the client slower than the server
        said = json.loads(line[6:])
        if "error" in said:
            raise BenchmarkError(f"it broke off: {str(said['error'])[:300]}.")
        first = first or (time.perf_counter() if said.get("choices") else 0.0)
        usage = said.get("usage") or usage
    if not first or not usage["completion_tokens"]:
        raise BenchmarkError("it gave an answer without a token.")
    return Sample(start, first, time.perf_counter(), usage["completion_tokens"], usage["prompt_tokens"])


async def answer(job: Job) -> Answer:
    """Do the job; what goes wrong is told."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            return Answer(loads=await measure(job, Client(session, job).ask))
    except BenchmarkError as error:
        return Answer(error=str(error))


def main() -> int:
    """Read the job, do it, tell the answer."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    sys.stdout.write(asyncio.run(answer(job)).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
