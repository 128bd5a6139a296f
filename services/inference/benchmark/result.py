"""What a benchmark found, and what it holds for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from services.inference.benchmark.figures import Summary
from services.inference.benchmark.ladder import Shape

OF_THE_PLACE: Final = frozenset(
    {"api-key", "disable-access-log-for-endpoints", "hf-token", "host", "model", "otlp-traces-endpoint", "port",
     "revision", "served-model-name"}
)  # fmt: skip
"""Flags that say where and for whom a server is, or which model it has, which the key has apart."""
NOT_OF_SPEED: Final = frozenset({"VLLM_API_KEY", "VLLM_CACHE_ROOT", "VLLM_NO_USAGE_STATS"})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Key(_Model):
    """What the figures hold for. Any other value in it, and it is measured anew.

    It is told to whoever asks, so of `flags`, in which may be secrets, it has only a digest.
    """

    model: str
    revision: str = ""
    device: str
    devices: int
    engine: str
    flags: str = ""
    shape: Shape

    def digest(self) -> str:
        """The first 16 hex digits of its SHA-256: a file's name."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Spread(_Model):
    """Milliseconds that half, 90 and 99 of 100 requests did not exceed."""

    p50: float = Field(ge=0, allow_inf_nan=False)
    p90: float = Field(ge=0, allow_inf_nan=False)
    p99: float = Field(ge=0, allow_inf_nan=False)


class Level(_Model):
    """One load: so many requests at once. Tokens a minute are those of prompts and answers, and of answers alone."""

    concurrency: int = Field(ge=1)
    answered: int = Field(ge=1)
    seconds: float = Field(gt=0, allow_inf_nan=False)
    tokens_per_minute: float = Field(ge=0, allow_inf_nan=False)
    output_tokens_per_minute: float = Field(ge=0, allow_inf_nan=False)
    first_token_ms: Spread
    each_token_ms: Spread


class Result(_Model):
    """The figures. `asked` is the wish that it answers, `measured_at` a time of RFC 3339, `seconds` it took in all.

    It is `complete` if more requests at once were no better, or not possible; else the time was over before.
    """

    key: Key
    asked: str
    measured_at: str
    seconds: float = Field(ge=0, allow_inf_nan=False)
    complete: bool
    peak: Level
    levels: tuple[Level, ...]


def level_of(found: Summary) -> Level:
    """The figures of one load."""
    return Level(
        concurrency=found.concurrency,
        answered=found.answered,
        seconds=round(found.seconds, 3),
        tokens_per_minute=round(found.all_tokens_per_minute, 2),
        output_tokens_per_minute=round(60 * found.tokens_per_second, 2),
        first_token_ms=_spread(found.first_token_median, found.first_token_p90, found.first_token_p99),
        each_token_ms=_spread(found.each_token_median, found.each_token_p90, found.each_token_p99),
    )


def _spread(*seconds: float) -> Spread:
    p50, p90, p99 = (round(1000 * one, 2) for one in seconds)
    return Spread(p50=p50, p90=p90, p99=p99)


def digest_of_flags(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """The first 16 hex digits of the SHA-256 of all that count."""
    text = "\n".join(flags_that_count(argv, environ))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def flags_that_count(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Flags and variables of the engine, sorted. Those of the place are not among them, above all no key."""
    variables = [f"{k}={v}" for k, v in environ.items() if k.startswith("VLLM_") and k not in NOT_OF_SPEED]
    return tuple(sorted([*_flags(argv), *variables]))


def _flags(argv: Sequence[str]) -> Iterator[str]:
    """`--name=value` for each flag of a command line; the words after a flag are its values."""
    name, values = "", list[str]()
    for word in (*argv, "--"):
        if not word.startswith("--"):
            values.append(word)
            continue
        if name and name not in OF_THE_PLACE:
            yield f"--{name}={' '.join(values)}" if values else f"--{name}"
        key, equals, value = word.removeprefix("--").partition("=")
        name, values = key.replace("_", "-"), [value] if equals else []
