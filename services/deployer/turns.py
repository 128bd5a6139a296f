"""Gives upgrades their turns. Of several deployers the holder of a Lease does, so only one version is rolled out.

Kept here is who waits, and who was given a turn that does not show in the cluster yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from services.chassis.kube import JsonObject, Key, Lease
from services.contracts.messages import PlanState
from services.deployer.rollout import digests, has_template, is_upgrade, next_turns

log = logging.getLogger(__name__)

POLL: Final = 2.0
GIVEN_FOR: Final = timedelta(seconds=60)
"""A turn that is not taken in so long is taken back."""


class Given(NamedTuple):
    """A turn: since when, and what there is to be when it is taken."""

    since: datetime
    wanted: Mapping[str, str]


class Turns:
    """`sets` gives the StatefulSets by the watch; None before all are known."""

    def __init__(self, lease: Lease, sets: Callable[[], Mapping[Key, JsonObject] | None], at_once: int) -> None:
        self._lease = lease
        self._sets = sets
        self._at_once = at_once
        self._waiting: dict[Key, Mapping[str, str]] = {}
        self._given: dict[Key, Given] = {}

    def waits(self, key: Key) -> bool:
        """Whether a workspace's server waits for its turn."""
        return key in self._waiting and key not in self._given

    def may_change(self, key: Key, found: JsonObject, wanted: Mapping[str, str]) -> bool:
        """Whether what is there may be brought to what is wanted now. If not, it waits for its turn."""
        if is_upgrade(found, wanted) and key not in self._given:
            self._waiting[key] = wanted
            return False
        self._waiting.pop(key, None)
        return True

    def is_due(self, state: PlanState, workload: JsonObject) -> bool:
        """Whether the template in the cluster is another, and that is not known to wait."""
        found = (self._sets() or {}).get(state.key)
        if found is None or has_template(found, digests(state, workload)):
            self._waiting.pop(state.key, None)
            return False
        return not self.waits(state.key)

    async def run(self, hurry: Callable[[Key], None]) -> None:
        """Give turns while the Lease is held, for ever. `hurry` has a workspace looked at."""

        async def give() -> None:
            try:
                while True:
                    for key in self.give(datetime.now(UTC)):
                        log.info("its server is started anew, by a newer template", extra={"workspace": "/".join(key)})
                        hurry(key)
                    await asyncio.sleep(POLL)
            finally:
                self._given.clear()

        while True:
            await self._lease.hold(give)

    def give(self, now: datetime) -> list[Key]:
        """Who has a turn from now on."""
        sets = self._sets()
        if sets is None:
            return []
        self._waiting = {key: wanted for key, wanted in self._waiting.items() if key in sets}
        self._given = {key: one for key, one in self._given.items() if self._is_open(sets.get(key), one, now)}
        turns = next_turns(sets, self._waiting, self._given, self._at_once, now)
        self._given |= {key: Given(now, self._waiting[key]) for key in turns}
        return turns

    @staticmethod
    def _is_open(found: JsonObject | None, given: Given, now: datetime) -> bool:
        return found is not None and not has_template(found, given.wanted) and now - given.since < GIVEN_FOR
