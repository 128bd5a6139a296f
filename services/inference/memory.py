"""Tells what the engine measured at its start: `GET /kaitobus/memory`, and gauges beside vLLM's own metrics."""

import logging
from collections.abc import Mapping, Sequence

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Gauge
from vllm.engine.protocol import EngineClient

from services.inference.logs import LOGGER
from services.inference.measured import METHOD

log = logging.getLogger(LOGGER)

PATH = "/kaitobus/memory"
TIMEOUT_S = 10.0

Memory = dict[str, float | None]


async def measured(engine: EngineClient) -> Memory:
    """Ask every worker. Whatever goes wrong is logged and leaves figures out: it never ends a start."""
    try:
        workers = await engine.collective_rpc(METHOD, timeout=TIMEOUT_S)
        tokens = getattr(engine.vllm_config.cache_config, "kv_cache_size_tokens", None)
        return fullest(workers, tokens)
    except Exception as error:
        log.warning("what the engine measured cannot be told: %s", error)
        return {}


def fullest(workers: Sequence[Mapping[str, float | None]], kv_tokens: int | None) -> Memory:
    """Return each part as the fullest worker has it, and the smallest cache, which is what all can use."""
    parts = {part for worker in workers for part in worker}
    found: Memory = {}
    for part in sorted(parts):
        values = [value for worker in workers if (value := worker.get(part)) is not None]
        found[part] = (min if part == "kv_cache_gib" else max)(values, default=None)
    return {**found, "kv_tokens": kv_tokens}


def memory_router(memory: Memory) -> APIRouter:
    """Return a router with the figures. They are no secret, and whoever plans must read them without a key."""

    async def show() -> Memory:
        """Return GiB of the fullest GPU by part, and the tokens that the cache holds; null for what is not known."""
        return memory

    router = APIRouter()
    router.add_api_route(PATH, show, methods=["GET"])
    return router


def set_gauges(memory: Memory, registry: CollectorRegistry) -> None:
    """Put the figures into the registry that `/metrics` shows."""
    gib = Gauge("kaitobus_engine_memory_gib", "Memory by part, as the engine measured it.", ["part"], registry=registry)
    tokens = Gauge("kaitobus_engine_kv_tokens", "Tokens that the key-value cache holds.", registry=registry)
    for part, value in memory.items():
        if value is not None and part.endswith("_gib"):
            gib.labels(part.removesuffix("_gib")).set(value)
    if (held := memory.get("kv_tokens")) is not None:
        tokens.set(held)


def set_start_gauges(times: Mapping[str, float], registry: CollectorRegistry) -> None:
    """Put the seconds of the start's phases and steps into the registry."""
    words = "How long each phase of the start took."
    seconds = Gauge("kaitobus_start_phase_seconds", words, ["phase"], registry=registry)
    for phase, value in times.items():
        seconds.labels(phase).set(value)
