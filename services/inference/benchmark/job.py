"""What is asked of the process that measures, and what it answers. Both are JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.inference.benchmark.figures import Summary
from services.inference.benchmark.ladder import Shape


class BenchmarkError(Exception):
    """The server could not be measured. The message is for a person."""


class Job(BaseModel):
    """Measure the server at `url` for at most `budget_s` seconds. Prompts are of tokens from 0 to `vocabulary`.

    By `mark` the server knows the requests for its own.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    model: str
    mark: str
    api_key: str | None = None
    shape: Shape
    budget_s: float
    vocabulary: int


class Answer(BaseModel):
    """Exactly one of the two: what came of each load, or why nothing did."""

    loads: list[Summary] | None = None
    error: str | None = None
