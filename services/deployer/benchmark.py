"""What the server tells of its benchmark: a condition, and figures for the status. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.messages import PlanState
from services.contracts.performance import Metric
from services.contracts.plan import Runtime, Workload
from services.contracts.serving import ANNOTATION_BENCHMARK
from services.deployer.redact import redact


class BenchmarkState(StrEnum):
    """How it stands."""

    OFF = "off"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class _Told(Contract):
    model_config = Contract.model_config | {"alias_generator": None}


class Spread(_Told):
    """Milliseconds that half, 90 and 99 of 100 requests did not exceed."""

    p50: float = Field(ge=0, le=1e9)
    p90: float = Field(ge=0, le=1e9)
    p99: float = Field(ge=0, le=1e9)


class Level(_Told):
    """One load: so many requests at once."""

    concurrency: int = Field(ge=1)
    tokens_per_minute: float = Field(ge=0, le=1e15)
    output_tokens_per_minute: float = Field(ge=0, le=1e15)
    first_token_ms: Spread
    each_token_ms: Spread


class Shape(_Told):
    """Lengths of a request."""

    prompt_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class BenchmarkKey(_Told):
    """What the figures hold for."""

    model: str = Field(max_length=500)
    revision: str = Field(default="", max_length=500)
    device: str = Field(max_length=500)
    devices: int = Field(ge=1)
    engine: str = Field(max_length=500)
    shape: Shape


class BenchmarkResult(_Told):
    """The figures, of the load that gave most."""

    key: BenchmarkKey
    measured_at: str = Field(max_length=100)
    seconds: float = Field(ge=0, le=1e9)
    complete: bool = True
    peak: Level
    levels: tuple[Level, ...] = ()


class BenchmarkTold(_Told):
    """How it stands. `wish` is the one that the server has read, `never` where it does not matter."""

    state: BenchmarkState
    message: str = Field(default="", max_length=2000)
    wish: str = Field(default="", max_length=100)
    result: BenchmarkResult | None = None


NEVER = "never"
_REASONS = {
    BenchmarkState.OFF: Reason.BENCHMARK_OFF,
    BenchmarkState.WAITING: Reason.BENCHMARK_PENDING,
    BenchmarkState.RUNNING: Reason.BENCHMARK_RUNNING,
    BenchmarkState.FAILED: Reason.BENCHMARK_FAILED,
}
_TRANSFORMERS = "The transformers runtime is not measured: it answers one request at a time."


def is_measured(state: PlanState) -> bool:
    """Whether the server of a plan can be measured: a model of ours, on vLLM, that really runs."""
    engine = state.plan.engine
    served = state.plan.workload is Workload.INFERENCE and not state.plan.simulated
    return served and engine is not None and engine.runtime is Runtime.VLLM


def has_read(state: PlanState, told: BenchmarkTold) -> bool:
    """Whether the server knows what is wished now, or never can be measured."""
    return told.wish in (state.plan.serving.benchmark_wish, NEVER)


def benchmark_condition(state: PlanState, told: BenchmarkTold | None, *, serving: bool) -> Condition | None:
    """How it stands, once the model answers; None where there is nothing to tell."""
    kind, engine = ConditionType.BENCHMARK_COMPLETED, state.plan.engine
    if not serving or state.plan.simulated:
        return None
    if engine is not None and engine.runtime is Runtime.TRANSFORMERS:
        return false(kind, Reason.BENCHMARK_OFF, _TRANSFORMERS)
    if not is_measured(state):
        return None
    if fault := state.plan.serving.benchmark_fault:
        return false(kind, Reason.BENCHMARK_WISH_UNREADABLE, fault)
    if told is None:
        return None
    if not has_read(state, told):
        words = f"The server has not read yet that {ANNOTATION_BENCHMARK} is {state.plan.serving.benchmark_wish}."
        return false(kind, Reason.BENCHMARK_PENDING, words)
    if told.state is BenchmarkState.DONE and told.result:
        return true(kind, Reason.BENCHMARK_COMPLETED, _words(told.result))
    return false(kind, _REASONS.get(told.state, Reason.BENCHMARK_PENDING), redact(told.message))


def _words(result: BenchmarkResult) -> str:
    peak, key = result.peak, result.key
    more = "" if result.complete else " The time was over before more at once could be tried."
    return (
        f"{peak.tokens_per_minute:.0f} tokens of prompts and answers a minute with {peak.concurrency} requests at "
        f"once, measured {result.measured_at} on {key.devices} x {key.device}.{more}"
    )


def benchmark_metrics(told: BenchmarkTold | None) -> dict[str, Metric]:
    """The figures by name; none where nothing was measured."""
    if told is None or told.result is None:
        return {}
    return dict(_metrics(told.result))


def _metrics(result: BenchmarkResult) -> Iterator[tuple[str, Metric]]:
    peak, unit = result.peak, "tokens/min"
    all_tokens = Metric(
        description="Tokens of prompts and answers a minute, with as many requests at once as give most.",
        value=_number(peak.tokens_per_minute),
        unit=unit,
        config=_config(result),
    )
    answers = _number(peak.output_tokens_per_minute)
    yield "peakTokensPerMinute", all_tokens
    yield "peakOutputTokensPerMinute", Metric(description="Of these, tokens of answers.", value=answers, unit=unit)
    at = {"concurrency": str(peak.concurrency)}
    for name, words, spread in (
        ("timeToFirstToken", "From a request to its first token", peak.first_token_ms),
        ("timePerOutputToken", "From one token of an answer to the next", peak.each_token_ms),
    ):
        for share, value in ((50, spread.p50), (90, spread.p90), (99, spread.p99)):
            text = f"{words}: {share} of 100 requests do not exceed it, at the peak."
            yield f"{name}P{share}", Metric(description=text, value=_number(value), unit="ms", config=at)


def _config(result: BenchmarkResult) -> dict[str, str]:
    """What was sent, in KAITO's words, and what the figures hold for."""
    key = result.key
    name, _, version = key.engine.partition(" ")
    found = {
        "durationSec": f"{result.seconds:.0f}",
        "inputTokens": str(key.shape.prompt_tokens),
        "outputTokens": str(key.shape.output_tokens),
        "maxConcurrency": str(result.peak.concurrency),
        "engine": name,
        "engineVersion": version,
        "model": key.model,
        "revision": key.revision,
        "device": f"{key.devices} x {key.device}",
        "measuredAt": result.measured_at,
        "complete": str(result.complete).lower(),
    }
    return {name: value for name, value in found.items() if value}


def _number(value: float) -> str:
    """As short as can be, without an exponent."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
