"""Watches a cloud that tells nothing by itself: one question for all workspaces that wait for something."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from services.chassis.cancellation import raise_if_cancelled
from services.contracts.errors import ProviderError
from services.provisioner.provider import Instance, Key, Provider

log = logging.getLogger(__name__)

SILENT: Final = 5.0
"""Seconds until a cloud that has not answered is asked again, if it does not say when to come back."""


class Polling:
    """Asks as often as the one that waits for the youngest machine wants; not at all while nobody waits."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._waiting: dict[Key, tuple[frozenset[Instance], float]] = {}
        self._somebody = asyncio.Event()

    def wait(self, workspace: Key, machines: Iterable[Instance], pace: float) -> None:
        """Have the cloud asked every `pace` seconds whether these are still the workspace's machines, and as told."""
        self._waiting[workspace] = (frozenset(machines), pace)
        self._somebody.set()

    def rest(self, workspace: Key) -> None:
        """The workspace waits for nothing."""
        self._waiting.pop(workspace, None)
        if not self._waiting:
            self._somebody.clear()

    async def watch(self, changed: Callable[[Key], None], /) -> None:
        """Call `changed` with each workspace that waits and whose machines are not as they were, until cancelled."""
        while True:
            raise_if_cancelled()
            await self._somebody.wait()
            await asyncio.sleep(min(pace for _, pace in self._waiting.values()))
            try:
                found = _by_workspace(await self._provider.list())
            except ProviderError as error:
                log.debug("what has changed is not known: %s", error.message)
                await asyncio.sleep(error.retry_after or SILENT)
                continue
            for workspace, (machines, _) in tuple(self._waiting.items()):
                if found[workspace] != machines:
                    changed(workspace)


def _by_workspace(machines: Iterable[Instance]) -> defaultdict[Key, set[Instance]]:
    found: defaultdict[Key, set[Instance]] = defaultdict(set)
    for machine in machines:
        found[machine.owner.key].add(machine)
    return found
