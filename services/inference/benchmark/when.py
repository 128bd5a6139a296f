"""When to measure, and what is told meanwhile. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.inference.benchmark.wish import Kind, Wish

IDLE_S: Final = 60.0
"""Seconds without a request before it is measured unasked."""
NOW_S: Final = 2.0
"""The same where somebody asked for it: two requests of one conversation are closer."""
LONGEST_S: Final = 960.0
"""A request that comes meanwhile doubles that time for the next try; up to this, where it is not longer itself."""
_ENOUGH: Final = 30
"""Times doubled that are beyond any limit."""


class State(StrEnum):
    """How it stands."""

    OFF = "off"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Moment:
    """What is known. `answered` is the wish that the figures at hand answer, `failed` the one that could not be.

    `quiet_s` are seconds since the last request of somebody else, `broken` how often one has come meanwhile.
    """

    wish: Wish
    quiet_s: float = 0.0
    idle_s: float = IDLE_S
    running: bool = False
    answered: str | None = None
    failed: str | None = None
    broken: int = 0

    @property
    def needed_s(self) -> float:
        """Seconds without a request that it takes to begin."""
        least = NOW_S if self.wish.kind is Kind.NOW else self.idle_s
        return min(least * 2.0 ** min(self.broken, _ENOUGH), max(least, LONGEST_S))


def state_of(moment: Moment) -> State:
    """How it stands. Figures at hand are enough but for a wish to measure now that they do not answer."""
    wish = moment.wish
    if wish.kind is Kind.OFF:
        return State.OFF if moment.answered is None else State.DONE
    if moment.running:
        return State.RUNNING
    if moment.answered is not None and (wish.kind is Kind.IDLE or moment.answered == wish.text):
        return State.DONE
    return State.FAILED if moment.failed == wish.text else State.WAITING


def begins(moment: Moment) -> bool:
    """Whether to begin now."""
    return state_of(moment) is State.WAITING and moment.quiet_s >= moment.needed_s


def message_of(moment: Moment, fault: str = "") -> str:
    """The state in words. They stay the same while the state does."""
    state, wait = state_of(moment), f"{moment.needed_s:.0f} s"
    if state is State.OFF:
        off = "The server is not measured: kaito.sh/benchmark says off, of this Workspace or by default."
        return off if moment.wish.text else "The server has not been told yet whether it is to be measured."
    if state is State.RUNNING:
        return "The server is being measured; the first request of somebody else ends that."
    if state is State.FAILED:
        return f"The server could not be measured: {fault} It is tried again when it starts anew or is asked for."
    if state is State.DONE:
        return "The server has been measured."
    if moment.broken:
        return f"A request came while the server was measured. It begins anew once none has been here for {wait}."
    return f"The server is measured once no request has been here for {wait}."
