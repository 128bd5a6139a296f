"""What the cloud has refused lately, so that it is not asked for the same again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.contracts.base import Contract
from services.contracts.errors import Failure, FailureCode, ProviderError
from services.contracts.messages import Demand

SHARED: Final = frozenset(
    {
        FailureCode.QUOTA_EXCEEDED,
        FailureCode.INSUFFICIENT_CAPACITY,
        FailureCode.UNAUTHORIZED,
        FailureCode.NOT_FOUND,
        FailureCode.THROTTLED,
    }
)
"""What concerns everyone who asks for such a machine. The others concern the one workspace."""

Key = tuple[str, ...]


class Pauses(Contract):
    """How long nothing is asked for after a refusal, where the cloud does not say so itself."""

    terminal: timedelta = timedelta(minutes=3)
    passing: timedelta = timedelta(seconds=10)


class Refusals:
    """The refusals that still hold. Kept in memory: a process that starts anew asks once more, which is harmless.

    Machines are alike if size and provider's parameters are: a spot machine's capacity says nothing about others.
    """

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._held: dict[Key, Failure] = {}

    def note(self, demand: Demand, error: ProviderError | Failure, now: datetime) -> Failure:
        """Remember a refusal; returns it with the time of the next try."""
        failure = self.told(demand, error, now)
        self._held[_shared(demand) if error.code in SHARED else _own(demand)] = failure
        return failure

    def told(self, demand: Demand, error: ProviderError | Failure, now: datetime) -> Failure:
        """A refusal with the time of the next try; nothing else waits for it."""
        after = error.retry_after if isinstance(error, ProviderError) else None
        pause = self._pauses.passing if error.code.passes else self._pauses.terminal
        retry_at = now + (timedelta(seconds=after) if after is not None else pause)
        return Failure(code=error.code, message=error.message, instance_type=demand.instance_type, retry_at=retry_at)

    def of(self, demand: Demand, now: datetime) -> Failure | None:
        """The refusal that holds for a demand, if any; the one that holds longest."""
        self._held = {key: f for key, f in self._held.items() if f.retry_at and f.retry_at > now}
        found = [f for key in (_shared(demand), _own(demand)) if (f := self._held.get(key))]
        return max(found, key=lambda f: f.retry_at or now, default=None)


def _shared(demand: Demand) -> Key:
    parameters = (f"{key}={value}" for key, value in sorted(demand.parameters.items()))
    return (demand.instance_type.lower(), *parameters)


def _own(demand: Demand) -> Key:
    return (demand.uid, *_shared(demand))
