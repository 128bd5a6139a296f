"""Remembers what the hub told. Asked for a model that it does not know, it sends for the facts and says so at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from services.contracts.conditions import Reason
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.ask import Ask
from services.scheduler.hub.client import HubClient
from services.scheduler.hub.errors import ASK_AGAIN, HubError
from services.scheduler.hub.fetch import Fetched, fetch
from services.scheduler.hub.tokens import Tokens
from services.scheduler.refusal import Refusal

log = logging.getLogger(__name__)

MODELS_AT_ONCE: Final = 4
"""Models that are read at the same time; others wait for their turn."""
MOST_WAITING: Final = 256
"""Models that are being read or wait for it. A further one is sent for when it is asked for again."""
MOST_REMEMBERED: Final = 256
NEWEST_FOR: Final = 600.0
"""Seconds for which the commit of a main branch counts as the newest. A commit's facts never change."""
LOOK_AGAIN: Final = 0.5
"""Seconds until facts that are on their way are worth looking for."""
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0

Reader = Callable[[Fetched], ModelFacts]
"""Makes facts of what was read. Raises HubError with the reason why the model cannot be served."""
Clock = Callable[[], float]


class _Answer(NamedTuple):
    """What was learnt, until when it counts, and how many times in a row it was a failure."""

    found: ModelFacts | HubError
    until: float
    failures: int = 0


class FactsBook:
    """Facts on models of one hub, for one process. Close it: it may be reading."""

    def __init__(self, hub: HubClient, tokens: Tokens, read: Reader, clock: Clock = time.monotonic) -> None:
        self._hub = hub
        self._tokens = tokens
        self._read = read
        self._clock = clock
        self._answers: OrderedDict[object, _Answer] = OrderedDict()
        self._reading: dict[object, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MODELS_AT_ONCE)

    @property
    def reading(self) -> int:
        """Models that are being read, or wait for it."""
        return len(self._reading)

    @property
    def remembered(self) -> int:
        """Answers that are kept."""
        return len(self._answers)

    async def close(self) -> None:
        """Give up what is being read, and close the connections."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hub.close()

    def look(self, ask: Ask) -> ModelFacts | Refusal:
        """The facts if they are known, else why not. Never waits: what is not known is sent for."""
        answer = self._answers.get(ask.key)
        if answer is not None and self._clock() < answer.until:
            self._answers.move_to_end(ask.key)
            return answer.found if isinstance(answer.found, ModelFacts) else self._refusal(answer.found, answer.until)
        self._send_for(ask)
        if answer is not None and isinstance(answer.found, HubError):
            return self._refusal(answer.found, self._clock() + LOOK_AGAIN)  # it stands until something else is known
        return self._pending(ask)

    def _send_for(self, ask: Ask) -> None:
        if ask.key in self._reading or len(self._reading) >= MOST_WAITING:
            return
        task = asyncio.create_task(self._learn(ask))
        self._reading[ask.key] = task
        task.add_done_callback(lambda _: self._reading.pop(ask.key, None))

    async def _learn(self, ask: Ask) -> None:
        try:
            async with self._room:
                facts = await self._fetch(ask)
        except HubError as error:
            log.info("no facts on a model: %s", error.message)
            self._remember_failure(ask, error)
        except Exception:
            log.exception("a model could not be read", extra={"model": ask.model})
            words = f"{ask.model} could not be read, through a fault of this program; its log tells more."
            self._remember_failure(ask, HubError(Reason.HUB_UNAVAILABLE, words, passes=True))
        else:
            self._remember(ask, _Answer(facts, self._clock() + NEWEST_FOR))
            self._remember(ask._replace(revision=facts.revision), _Answer(facts, float("inf")))

    async def _fetch(self, ask: Ask) -> ModelFacts:
        token = await self._tokens.read(ask.namespace, ask.secret) if ask.secret else None
        return self._read(await fetch(self._hub, ask.model, ask.revision, token))

    def _remember_failure(self, ask: Ask, error: HubError) -> None:
        before = self._answers.get(ask.key)
        failures = before.failures + 1 if before else 1
        self._remember(ask, _Answer(error, self._clock() + pause(error, failures), failures))

    def _remember(self, ask: Ask, answer: _Answer) -> None:
        self._answers[ask.key] = answer
        self._answers.move_to_end(ask.key)
        while len(self._answers) > MOST_REMEMBERED:
            self._answers.popitem(last=False)

    def _refusal(self, error: HubError, until: float) -> Refusal:
        return Refusal(
            reason=error.reason,
            message=error.message,
            next_step=f"{'The hub is asked' if error.passes else 'It is looked at'} again every few minutes.",
            waits=True,
            again=max(LOOK_AGAIN, until - self._clock()),
        )

    def _pending(self, ask: Ask) -> Refusal:
        return Refusal(
            reason=Reason.MODEL_FACTS_PENDING,
            message=f"{ask.model} is not in the catalogue: its config and the sizes of its tensors are being read from "
            f"{self._hub.address}.",
            next_step="It is planned as soon as they are there.",
            waits=True,
            again=LOOK_AGAIN,
        )


def pause(error: HubError, failures: int) -> float:
    """Seconds until the hub is asked again: as it says itself, else longer after each failure in a row."""
    if error.retry_after is not None:
        return max(1.0, error.retry_after)
    first = FIRST_PAUSE if error.passes else ASK_AGAIN
    return float(min(LONGEST_PAUSE, first * 2 ** min(failures - 1, 16)))
