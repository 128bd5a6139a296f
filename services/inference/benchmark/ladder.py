"""Which loads a benchmark sends: lengths by the machine, and from one request at once upwards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from services.inference.benchmark.figures import Load, Summary

PROMPT, ANSWER = 2048, 256
"""Tokens of a request, as KAITO's benchmark has them, so that figures can be compared."""
CPU_PROMPT, CPU_ANSWER = 128, 32
"""The same without a GPU, where KAITO's would take minutes."""
STEP: Final = 4
"""Each load has so many times the requests of the one before at once."""
ROUNDS: Final = 2
WORTH: Final = 1.05
"""A load that is not so many times as good as the best before it is the last: more at once only wait longer."""


class Shape(BaseModel):
    """Lengths of a request in tokens, and how many the engine can run at once."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)
    most: int = Field(ge=1)


def shape_of(*, gpu: bool, context: int, kv_tokens: float | None, at_once: int) -> Shape:
    """The lengths, shorter where the context is; as many at once as the engine takes and its cache holds."""
    prompt, answer = (PROMPT, ANSWER) if gpu else (CPU_PROMPT, CPU_ANSWER)
    if prompt + answer > context:
        prompt, answer = max(1, context * prompt // (prompt + answer)), max(1, context * answer // (prompt + answer))
    held = int(kv_tokens) // (prompt + answer) if kv_tokens else at_once
    return Shape(prompt_tokens=prompt, output_tokens=answer, most=max(1, min(at_once, held)))


def next_load(shape: Shape, done: Sequence[Summary]) -> Load | None:
    """The load after those that are done; None where the next would not be better, or cannot be."""
    if not done:
        at_once = 1
    elif done[-1].concurrency >= shape.most or not _worth(done):
        return None
    else:
        at_once = min(shape.most, STEP * done[-1].concurrency)
    return Load(at_once, ROUNDS * at_once, shape.prompt_tokens, shape.output_tokens)


def _worth(done: Sequence[Summary]) -> bool:
    before = max((one.all_tokens_per_minute for one in done[:-1]), default=0.0)
    return done[-1].all_tokens_per_minute > WORTH * before


def counts(summary: Summary) -> bool:
    """Whether a load that was ended early tells something: so many answers as were under way at once."""
    return summary.answered >= summary.concurrency


def peak(done: Sequence[Summary]) -> Summary | None:
    """The load with most tokens a minute; None where none was answered."""
    return max((one for one in done if counts(one)), key=lambda one: one.all_tokens_per_minute, default=None)
