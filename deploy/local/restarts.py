"""When a process that has died is started again. No I/O."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
STEADY = 10.0
"""Seconds of life after which a death counts as the first one again."""


class Restarts(BaseModel):
    """What is known of one process's deaths. Times are seconds of a monotonic clock."""

    model_config = ConfigDict(frozen=True)

    deaths: int = 0
    """In a row, each within `STEADY` seconds of the start."""
    started_at: float | None = None
    due: float = 0.0

    def started(self, now: float) -> Restarts:
        """It has been started, or found alive for the first time."""
        return self.model_copy(update={"started_at": now})

    def died(self, now: float) -> Restarts:
        """It was found dead: the first time it is started again at once, then after pauses that double."""
        if self.started_at is None:
            return self
        deaths = self.deaths + 1 if now - self.started_at < STEADY else 1
        pause = 0.0 if deaths == 1 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (deaths - 2))
        return Restarts(deaths=deaths, due=now + pause)
