"""Measures when it is time, keeps the result, and lets go as soon as somebody else comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from services.inference.benchmark.cache import Cache
from services.inference.benchmark.job import BenchmarkError
from services.inference.benchmark.result import Result
from services.inference.benchmark.when import IDLE_S, Moment, State, begins, message_of, state_of
from services.inference.benchmark.wish import Kind, Wish, read_wish
from services.inference.door import Door
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

POLL_S: Final = 2.0

Measure = Callable[[], Awaitable[Result]]


class Benchmark:
    """Looks again and again at the wish and at who is in the server. `read` gives the wish as a text."""

    def __init__(
        self, read: Callable[[], str], measure: Measure, cache: Cache, door: Door, idle_s: float = IDLE_S
    ) -> None:
        self._read, self._measure, self._cache, self._door, self._idle_s = read, measure, cache, door, idle_s
        self._wish = Wish(Kind.OFF, "")
        self._answered: str | None = None
        self._failed: str | None = None
        self._fault = ""
        self._said = ""
        self._broken = 0
        self._task: asyncio.Task[None] | None = None
        self.result: Result | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when `result` or the state is another."""

    async def run(self) -> None:
        """Work until cancelled."""
        self._door.somebody_came = self.break_off
        try:
            await self.remember()
            while True:
                try:
                    await self.look()
                except Exception as error:
                    self._note(error)
                await asyncio.sleep(POLL_S)
        finally:
            self._door.somebody_came = None
            await self._end()

    async def remember(self) -> None:
        """Take up what an earlier start has measured."""
        self.result = await asyncio.to_thread(self._cache.load)
        if self.result:
            self._answered = self.result.asked
            log.info("the benchmark of this model on this machine is known: %s", _words(self.result))
        self.changed()

    async def look(self) -> None:
        """Read the wish once, and begin or end what it asks for."""
        wish = read_wish(await asyncio.to_thread(self._read))
        if wish != self._wish:
            self._take(wish)
        if wish.kind is Kind.OFF:
            await self._end()
        if begins(self.moment()):
            self._task = asyncio.create_task(self._work())
        self.changed()

    def moment(self) -> Moment:
        """What is known now."""
        return Moment(
            wish=self._wish,
            quiet_s=self._door.quiet_s(),
            idle_s=self._idle_s,
            running=self._task is not None,
            answered=self._answered,
            failed=self._failed,
            broken=self._broken,
        )

    def told(self) -> dict[str, object]:
        """What the route tells. None of it is a secret."""
        moment = self.moment()
        result = self.result.model_dump() if self.result else None
        message = message_of(moment, self._fault)
        return {"state": str(state_of(moment)), "message": message, "wish": moment.wish.text, "result": result}

    @property
    def state(self) -> State:
        """How it stands."""
        return state_of(self.moment())

    def break_off(self) -> None:
        """Somebody else has come: end what is being measured, at once."""
        if self._task and self._task.cancel():
            self._broken += 1
            self._task = None
            log.info("the benchmark is broken off, since a request came; it begins anew after a while")

    def _take(self, wish: Wish) -> None:
        """Another wish. What answered an earlier request is no answer to one that is made anew."""
        if wish.kind is not Kind.NOW and self._answered is not None:
            self._answered = Kind.IDLE
        self._wish, self._failed, self._broken = wish, None, 0

    async def _work(self) -> None:
        try:
            result = await self._measure()
        except BenchmarkError as error:
            self._failed, self._fault = self._wish.text, str(error)
            log.warning("the benchmark failed: %s", error)
        except Exception as error:
            self._failed, self._fault = self._wish.text, f"{type(error).__name__}."
            log.exception("the benchmark failed")
        else:
            self.result, self._answered = result.model_copy(update={"asked": self._wish.text}), self._wish.text
            self._task = None  # who comes now breaks off nothing
            log.info("benchmark: %s", _words(result), extra={"fields": {"benchmark": self.result.model_dump()}})
            await asyncio.to_thread(self._cache.save, self.result)
        finally:
            if self._task is asyncio.current_task():
                self._task = None
            self.changed()

    def _note(self, error: Exception) -> None:
        """Log what stays the same only once: it comes at every look."""
        if repr(error) != self._said:
            self._said = repr(error)
            log.error("the benchmark could not be looked at; it is tried again", exc_info=error)

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _words(result: Result) -> str:
    peak = result.peak
    first, each = peak.first_token_ms.p50, peak.each_token_ms.p50
    return (
        f"{peak.tokens_per_minute:.0f} tokens a minute of prompts and answers, with {peak.concurrency} requests at "
        f"once; medians: {first:.0f} ms to the first token, {each:.1f} ms for each other one"
    )
