"""Drives any server with OpenAI's routes, and tells tokens a second and times: `python -m tests.bench.serving --help`.

A fixed number of requests is always under way (a closed loop). Prompts are random tokens, each other than the last, so
that no cache of prefixes helps; answers are as long as asked for, where the server knows `ignore_eos` (vLLM) or
`min_tokens`. Tokens are counted by the server. All times are the client's. One process reads some thousand pieces of
answers a second: for more at once there can be several, among which each load is divided.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

from openai import AsyncOpenAI, OpenAIError

from services.inference.benchmark.figures import Load, Sample, Summary, summarize

TOKENS = range(1_000, 20_000)
"""Tokens that prompts are made of: every model has so many, and the first ones are often marks of its own."""
LIMIT_S = 600.0


@dataclass(frozen=True)
class Server:
    """Where to send it. `model` is the first that the server lists, where it is None."""

    url: str
    api_key: str
    model: str | None = None

    def client(self) -> AsyncOpenAI:
        """A client that waits long, and asks nothing twice."""
        return AsyncOpenAI(base_url=self.url, api_key=self.api_key, timeout=LIMIT_S, max_retries=0)


def measure(server: Server, load: Load, processes: int = 1) -> Summary:
    """Send the load. A request that fails is counted, and its reason is printed. Raises OpenAIError."""
    loads = load.divided(processes)
    if len(loads) == 1:
        return summarize(load, *_send_alone(server, load))
    with ProcessPoolExecutor(len(loads)) as pool:
        found = list(pool.map(_send_alone, [server] * len(loads), loads))
    return summarize(load, [sample for samples, _ in found for sample in samples], sum(failed for _, failed in found))


def _send_alone(server: Server, load: Load) -> tuple[list[Sample], int]:
    return asyncio.run(send(server, load))


async def send(server: Server, load: Load) -> tuple[list[Sample], int]:
    """Send a load from this process; what was answered, and how many failed. Raises OpenAIError."""
    waiting = asyncio.Queue[list[int]]()
    chosen = random.Random(load.seed)
    for _ in range(load.requests):
        waiting.put_nowait(chosen.choices(TOKENS, k=load.prompt_tokens))
    samples: list[Sample] = []

    async def work(client: AsyncOpenAI, model: str) -> int:
        failed = 0
        while not waiting.empty():
            try:
                samples.append(await ask(client, model, waiting.get_nowait(), load.output_tokens))
            except OpenAIError as error:
                _say(f"a request failed: {error}")
                failed += 1
        return failed

    async with server.client() as client:
        model = server.model or (await client.models.list()).data[0].id
        failures = await asyncio.gather(*(work(client, model) for _ in range(load.concurrency)))
    return samples, sum(failures)


async def ask(client: AsyncOpenAI, model: str, prompt: list[int], tokens: int) -> Sample:
    """One request, as a stream. Raises OpenAIError."""
    start = time.perf_counter()
    first, counted, prompted, pieces = 0.0, 0, 0, 0
    stream = await client.completions.create(
        model=model, prompt=prompt, max_tokens=tokens, temperature=0, stream=True,
        stream_options={"include_usage": True}, extra_body={"ignore_eos": True, "min_tokens": tokens},
    )  # fmt: skip
    async for chunk in stream:
        if chunk.choices:
            first = first or time.perf_counter()
            pieces += 1
        if chunk.usage:
            counted, prompted = chunk.usage.completion_tokens, chunk.usage.prompt_tokens
    end = time.perf_counter()
    return Sample(start, first or end, end, counted or pieces, prompted or len(prompt))


def table(found: Sequence[Summary]) -> str:
    """The figures in aligned columns; times in milliseconds."""
    head = ("at once", "answered", "failed", "tokens/s", "first token median", "p99", "each token median", "p99")
    rows = [head, *(_row(summary) for summary in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _row(found: Summary) -> tuple[str, ...]:
    times = (found.first_token_median, found.first_token_p99, found.each_token_median, found.each_token_p99)
    counts = (str(found.concurrency), str(found.answered), str(found.failed), f"{found.tokens_per_second:.1f}")
    return (*counts, *(f"{1000 * seconds:.1f} ms" for seconds in times))


def _measure_all(given: argparse.Namespace) -> list[Summary]:
    server = Server(given.url, given.api_key, given.model)
    warm = Load(1, given.warm_up, given.prompt_tokens, given.output_tokens, seed=given.seed + 1)
    measure(server, warm)
    loads = [
        Load(at_once, given.requests, given.prompt_tokens, given.output_tokens, given.seed + 2 + at)
        for at, at_once in enumerate(given.concurrency)
    ]
    return [measure(server, load, given.processes) for load in loads]


def _read(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--url", required=True, help="as in http://127.0.0.1:5000/v1")
    parser.add_argument("--model", help="left out, the first that the server lists")
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8], help="requests at once, one row each")
    parser.add_argument("--requests", type=int, default=32, help="requests of each row")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--warm-up", type=int, default=2, help="requests before the first row, not counted")
    parser.add_argument("--processes", type=int, default=1, help="that send together, at most one for each at once")
    parser.add_argument("--seed", type=int, default=0, help="of the random prompts")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args(list(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a request failed or the server is not there."""
    given = _read(sys.argv[1:] if argv is None else argv)
    try:
        found = _measure_all(given)
    except OpenAIError as error:
        _say(f"{given.url} cannot be measured: {error}")
        return 1
    text = json.dumps([asdict(summary) for summary in found], indent=2) if given.output == "json" else table(found)
    sys.stdout.write(f"{text}\n")
    return int(any(summary.failed for summary in found))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
