"""Workspaces that have just come: all of a burst are published before the first of them is held."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from services.chassis.kube import Key
from services.chassis.lull import Lull


class _Arrival(NamedTuple):
    version: str
    since: float


class Arrivals:
    """Those that are published and do not have our finalizer yet, each with the time since when.

    A machine takes minutes to come, so it can wait until the workloads of a burst are made.
    """

    def __init__(self, lull: Lull) -> None:
        """`lull` is hurried by each that comes."""
        self._lull = lull
        self._known: dict[Key, _Arrival] = {}

    def add(self, key: Key, version: str) -> None:
        """One that is about to be published as of that resourceVersion."""
        if known := self._known.get(key):
            self._known[key] = _Arrival(version, known.since)
        else:
            self._known[key] = _Arrival(version, asyncio.get_running_loop().time())
            self._lull.hurry()

    def discard(self, key: Key) -> None:
        """It is held now, or will not be."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Nobody is awaited any more: others may have held them since."""
        self._known.clear()

    def pause(self, key: Key, version: str) -> float:
        """Seconds until one is to be held that was added as it is now; 0 for any other, and for who comes alone."""
        known = self._known.get(key)
        if known is None or known.version != version or len(self._known) == 1:
            return 0
        return self._lull.left(known.since)
