"""What came of some answered requests: tokens a second, and times as medians and percentiles. Pure.

Also for the benchmark of any server in `tests/bench`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What to send: so many requests, of which a fixed number is always under way. Lengths in tokens."""

    concurrency: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    seed: int = 0

    def divided(self, processes: int) -> list[Load]:
        """Return the load as one for each of some processes: as many at once, and as many requests, in all."""
        count = max(1, min(processes, self.concurrency))
        return [
            Load(
                concurrency=_share(self.concurrency, count, at),
                requests=_share(self.requests, count, at),
                prompt_tokens=self.prompt_tokens,
                output_tokens=self.output_tokens,
                seed=self.seed * count + at,
            )
            for at in range(count)
        ]


def _share(whole: int, count: int, at: int) -> int:
    return whole * (at + 1) // count - whole * at // count


@dataclass(frozen=True)
class Sample:
    """One answered request: seconds from the same clock, and tokens as the server counts them.

    The clock is one of the machine, so samples of several processes can be put together.
    """

    start: float
    first: float
    end: float
    tokens: int
    prompt_tokens: int = 0

    @property
    def first_token_s(self) -> float:
        """From the request to its first token."""
        return self.first - self.start

    @property
    def each_token_s(self) -> float:
        """From one token to the next, on average over the answer."""
        return (self.end - self.first) / max(1, self.tokens - 1)


@dataclass(frozen=True)
class Summary:
    """What came of a load. Seconds; `tokens` are those of answers."""

    concurrency: int
    answered: int
    failed: int
    prompt_tokens: int
    tokens: int
    seconds: float
    tokens_per_second: float
    first_token_median: float
    first_token_p90: float
    first_token_p99: float
    each_token_median: float
    each_token_p90: float
    each_token_p99: float

    @property
    def all_tokens_per_minute(self) -> float:
        """Tokens of prompts and answers together, as KAITO counts them."""
        return 60 * (self.prompt_tokens + self.tokens) / self.seconds if self.seconds else 0.0


def summarize(load: Load, samples: Sequence[Sample], failed: int) -> Summary:
    """The figures of some answers; zeros where there is none."""
    seconds = max((s.end for s in samples), default=0.0) - min((s.start for s in samples), default=0.0)
    tokens = sum(s.tokens for s in samples)
    first, each = [s.first_token_s for s in samples], [s.each_token_s for s in samples]
    return Summary(
        concurrency=load.concurrency,
        answered=len(samples),
        failed=failed,
        prompt_tokens=sum(s.prompt_tokens for s in samples),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        first_token_median=statistics.median(first) if first else 0.0,
        first_token_p90=percentile(first, 90),
        first_token_p99=percentile(first, 99),
        each_token_median=statistics.median(each) if each else 0.0,
        each_token_p90=percentile(each, 90),
        each_token_p99=percentile(each, 99),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many of 100 do not exceed (nearest rank); 0 where there is none."""
    return sorted(values)[-(-percent * len(values) // 100) - 1] if values else 0.0
