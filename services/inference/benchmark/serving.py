"""The benchmark in vLLM's server: what is measured, `GET /kaitobus/benchmark`, and metrics beside vLLM's own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import vllm
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from vllm.config import VllmConfig
from vllm.platforms import current_platform

from services.inference.benchmark.cache import Cache
from services.inference.benchmark.job import Job
from services.inference.benchmark.keeper import Benchmark
from services.inference.benchmark.ladder import Shape, shape_of
from services.inference.benchmark.process import measure_apart
from services.inference.benchmark.result import Key, digest_of_flags
from services.inference.benchmark.when import IDLE_S, State
from services.inference.cards import ABOUT_ENV
from services.inference.door import Door
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

PATH: Final = "/kaitobus/benchmark"
WISH_ENV: Final = "KAITOBUS_BENCHMARK"
"""A file with the wish, which may change. Without it, or while it is empty, nothing is measured."""
HOME_ENV: Final = "KAITOBUS_BENCHMARK_DIR"
IDLE_ENV: Final = "KAITOBUS_BENCHMARK_IDLE_SECONDS"
BUDGET_ENV: Final = "KAITOBUS_BENCHMARK_SECONDS"
BUDGET_S: Final = 120.0
CPU_BUDGET_S: Final = 20.0
"""Seconds that all loads together may take, with a GPU and without."""
_BESIDE_TEXT: Final = "The model does not generate text, so there are no tokens to count."
_ELSEWHERE: Final = "The server listens with TLS or at a place of its own, where it does not ask itself."
_NO_WISH: Final = f"The server was started without {WISH_ENV}, so nobody asked for it."


@asynccontextmanager
async def keeping_benchmark(
    app: FastAPI, args: Namespace, config: VllmConfig, kv_tokens: float | None, door: Door, keys: Sequence[str],
    sock: socket.socket | None, environment: Mapping[str, str] = os.environ,
) -> AsyncIterator[None]:  # fmt: skip
    """Measure when it is time while the block runs, and add the route that tells of it. Nothing is waited for.

    `sock` is where the server listens; None where that is left to vLLM.
    """
    why, benchmark = _why_not(app, sock, environment), None
    if not why and sock:
        try:
            benchmark = _benchmark(args, config, kv_tokens, door, keys, sock, environment)
        except Exception as error:  # a start must not end for this
            log.exception("the server cannot be measured")
            why = f"The server cannot be measured: {type(error).__name__}: {error}"[:500]
    if benchmark is None:
        off: dict[str, object] = {"state": State.OFF, "message": why, "wish": "never", "result": None}
        app.add_api_route(PATH, lambda: off)
        yield
        return
    benchmark.changed = partial(_Gauges(REGISTRY).show, benchmark)
    app.add_api_route(PATH, benchmark.told)
    task = asyncio.create_task(benchmark.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _why_not(app: FastAPI, sock: socket.socket | None, environment: Mapping[str, str]) -> str:
    """Why this server is never measured; nothing where it may be."""
    if not environment.get(WISH_ENV) or not environment.get(HOME_ENV):
        return _NO_WISH
    if getattr(app.state, "openai_serving_completion", None) is None:
        return _BESIDE_TEXT
    return "" if sock else _ELSEWHERE


def _benchmark(
    args: Namespace, config: VllmConfig, kv_tokens: float | None, door: Door, keys: Sequence[str],
    sock: socket.socket, environment: Mapping[str, str],
) -> Benchmark:  # fmt: skip
    gpu = not current_platform.is_cpu()
    at_once = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
    context = config.model_config.max_model_len
    shape = shape_of(gpu=gpu, context=context, kv_tokens=kv_tokens, at_once=min(at_once, door.limit))
    job = Job(
        url=loopback(sock.getsockname()),
        model=(args.served_model_name or [args.model])[0],
        mark=door.mark,
        api_key=next(iter(keys), None),
        shape=shape,
        budget_s=float(environment.get(BUDGET_ENV) or (BUDGET_S if gpu else CPU_BUDGET_S)),
        vocabulary=config.model_config.get_vocab_size(),
    )
    key = _key(args, config, shape, environment, gpu=gpu)
    read = _reader(Path(environment[WISH_ENV]))
    idle_s = float(environment.get(IDLE_ENV) or IDLE_S)
    return Benchmark(read, partial(measure_apart, job, key), Cache(Path(environment[HOME_ENV]), key), door, idle_s)


def _key(args: Namespace, config: VllmConfig, shape: Shape, environment: Mapping[str, str], *, gpu: bool) -> Key:
    parallel = config.parallel_config
    return Key(
        model=environment.get(ABOUT_ENV["model"]) or args.model,
        revision=environment.get(ABOUT_ENV["revision"]) or args.revision or "",
        device=current_platform.get_device_name() if gpu else _processor(),
        devices=parallel.world_size * parallel.data_parallel_size if gpu else len(os.sched_getaffinity(0)),
        engine=f"vllm {vllm.__version__}",
        flags=digest_of_flags(sys.argv[1:], environment),
        shape=shape,
    )


def _processor() -> str:
    """The processor's name (proc_cpuinfo(5)), where it has one there."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(found, "CPU")


def _reader(file: Path) -> Callable[[], str]:
    """A file that is not there wishes nothing."""

    def read() -> str:
        try:
            return file.read_text()[:100]
        except FileNotFoundError:
            return ""

    return read


def loopback(address: tuple[object, ...]) -> str:
    """Where this process reaches a socket that listens at an address, as in `http://127.0.0.1:5000`."""
    host, port = str(address[0]), address[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - any address is this one, too
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Gauges:
    """The state and the figures in the registry that `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "kaitobus_benchmark"
        self._state = Gauge(f"{prefix}_state", "1 for the state that it is in.", ["state"], registry=registry)
        words = "Tokens a minute at the peak: of prompts and answers (all), of answers alone (output)."
        self._peak = Gauge(f"{prefix}_peak_tokens_per_minute", words, ["tokens"], registry=registry)
        self._times = Gauge(
            f"{prefix}_seconds", "To the first token, and for each further one, at the peak.", ["to", "quantile"],
            registry=registry,
        )  # fmt: skip

    def show(self, benchmark: Benchmark) -> None:
        """Set them to what is known now."""
        for state in State:
            self._state.labels(state).set(state is benchmark.state)
        if benchmark.result is None:
            return
        peak = benchmark.result.peak
        self._peak.labels("all").set(peak.tokens_per_minute)
        self._peak.labels("output").set(peak.output_tokens_per_minute)
        for to, spread in (("first_token", peak.first_token_ms), ("each_token", peak.each_token_ms)):
            for quantile, ms in (("0.5", spread.p50), ("0.9", spread.p90), ("0.99", spread.p99)):
                self._times.labels(to, quantile).set(ms / 1000)
