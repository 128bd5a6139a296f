"""Claims that their controller has taken away itself. Karpenter deletes one for which there is no capacity, and leaves
an event behind. Without it the claim would be made anew at once, again and again, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from services.chassis.kube import EVENTS, JsonObject, KubeClient, dig_str
from services.contracts.errors import ProviderError
from services.provisioner.node_facts import moment
from services.provisioner.providers.karpenter.reasons import code_of, words

NAMESPACE: Final = "default"
"""Where Kubernetes keeps the events of objects without a namespace."""
REASONS: Final = frozenset({"InsufficientCapacityError", "InsufficientCapacity", "NodeClassNotReady"})
"""Those with which core deletes a claim."""
RECENT: Final = timedelta(minutes=5)


class Vanished:
    """Tells of each claim's end once. What was told is kept in memory: a new process tells it once more at most."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._told: dict[str, datetime] = {}

    def told(self, uid: str) -> None:
        """Nothing more needs to be told of the claim with that uid: its end is known, or wanted."""
        self._told[uid] = datetime.now(UTC)

    async def failure(self, name: str) -> ProviderError | None:
        """Why the last claim of that name went away, if that is news. Raises `KubeError`."""
        fields = f"involvedObject.kind=NodeClaim,involvedObject.name={name}"
        found = await self._kube.list(EVENTS, namespace=NAMESPACE, fields=fields)
        now = datetime.now(UTC)
        self._told = {uid: at for uid, at in self._told.items() if now - at < 2 * RECENT}
        event = newest(found.items, self._told, now)
        if event is None:
            return None
        self.told(dig_str(event, "involvedObject", "uid"))
        reason, message = dig_str(event, "reason"), dig_str(event, "message")
        return ProviderError(code_of(reason, message), words(reason, message))


def newest(events: Iterable[JsonObject], told: Iterable[str], now: datetime) -> JsonObject | None:
    """The newest event that tells of a claim's end, of those that are recent and have not been told."""
    known = set(told)
    news = [
        (at, event)
        for event in events
        if dig_str(event, "reason") in REASONS
        and dig_str(event, "involvedObject", "uid") not in known
        and (at := _time(event))
        and now - at < RECENT
    ]
    return max(news, key=lambda pair: pair[0])[1] if news else None


def _time(event: JsonObject) -> datetime | None:
    times = (moment(dig_str(event, *path)) for path in (("lastTimestamp",), ("eventTime",), _CREATED))
    return next((at for at in times if at), None)


_CREATED: Final = ("metadata", "creationTimestamp")
