"""Has the server measured by a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from services.inference.apart import Said, do_apart
from services.inference.benchmark.figures import Summary
from services.inference.benchmark.job import Answer, BenchmarkError, Job
from services.inference.benchmark.ladder import next_load, peak
from services.inference.benchmark.result import Key, Result, level_of

MARGIN_S: Final = 60.0
"""What the process may take besides the job's own time: to start, and to end its connections."""
_MODULE: Final = "services.inference.benchmark.drive"


async def measure_apart(job: Job, key: Key, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Result:
    """Measure. Raises BenchmarkError with the reason."""
    began = time.monotonic()
    try:
        said = await do_apart(_MODULE, job.model_dump_json().encode(), job.budget_s + MARGIN_S)
    except TimeoutError:
        raise BenchmarkError("the process that measures did not come to its end.") from None
    return result_of(_loads(said), key, now(), time.monotonic() - began)


def _loads(said: Said) -> Sequence[Summary]:
    try:
        answer = Answer.model_validate_json(said.text)
    except ValidationError:
        raise BenchmarkError(f"the process that measures ended {said.end}.") from None
    if answer.loads is None:
        raise BenchmarkError(answer.error or "nothing was measured.")
    return answer.loads


def result_of(loads: Sequence[Summary], key: Key, at: datetime, seconds: float) -> Result:
    """The result of some loads. Raises BenchmarkError if none of them was answered."""
    best = peak(loads)
    if best is None:
        raise BenchmarkError("no load was answered.")
    return Result(
        key=key,
        asked="",
        measured_at=at.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        complete=next_load(key.shape, loads) is None,
        peak=level_of(best),
        levels=tuple(level_of(load) for load in loads),
    )
