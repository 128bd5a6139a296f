"""What must be done so that the server has the adapters that the list says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from services.inference.adapters.wanted import Adapter

FIRST_AGAIN_S: Final = 15.0
LONGEST_AGAIN_S: Final = 600.0


class State(StrEnum):
    """How far an adapter has come."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Have(NamedTuple):
    """An adapter as it was last asked for, and how far that has come. `again_at`: when a failed one is due again."""

    wanted: Adapter
    state: State
    again_at: float = 0.0


class Actions(NamedTuple):
    """Names to take away, and adapters to bring: new ones, changed ones, and failed ones that are due."""

    drop: tuple[str, ...] = ()
    bring: tuple[Adapter, ...] = ()


def reconcile(wanted: Iterable[Adapter], have: Mapping[str, Have], now: float) -> Actions:
    """The actions. Of two entries with one name the first counts. Done twice, they change nothing."""
    by_name: dict[str, Adapter] = {}
    for adapter in wanted:
        by_name.setdefault(adapter.name, adapter)
    drop = tuple(name for name in have if name not in by_name)
    return Actions(drop, tuple(adapter for name, adapter in by_name.items() if _is_due(adapter, have.get(name), now)))


def again_after(failures: int) -> float:
    """Seconds until an adapter is tried again that failed so many times in a row."""
    return min(FIRST_AGAIN_S * 2.0 ** min(failures - 1, 20), LONGEST_AGAIN_S)


def _is_due(adapter: Adapter, have: Have | None, now: float) -> bool:
    if have is None or have.wanted != adapter:
        return True
    return have.state is State.FAILED and now >= have.again_at
