"""Coalescing: once for all who ask in time, never too late for anybody, and not too much at once."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.coalesce import Coalesce


class Work:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.together = 0
        self.most = 0
        self.go_on = asyncio.Event()

    async def __call__(self, key: str) -> None:
        self.begun.append(key)
        self.together += 1
        self.most = max(self.most, self.together)
        await self.go_on.wait()
        self.together -= 1


async def until_begun(work: Work, count: int) -> None:
    async with asyncio.timeout(60):
        while len(work.begun) < count:
            await asyncio.sleep(0)


async def test_all_who_ask_before_the_turn_share_it() -> None:
    work = Work()
    work.go_on.set()
    coalesce = Coalesce(work, pause=0.01, at_once=1)
    await asyncio.gather(*(coalesce.ask("a") for _ in range(5)), coalesce.ask("b"))
    assert sorted(work.begun) == ["a", "b"]


async def test_who_asks_while_the_work_is_done_gets_a_turn_that_begins_after() -> None:
    work = Work()
    coalesce = Coalesce(work, pause=0, at_once=2)
    first = asyncio.create_task(coalesce.ask("a"))
    await until_begun(work, 1)
    second = asyncio.create_task(coalesce.ask("a"))
    await until_begun(work, 2)
    work.go_on.set()
    await asyncio.gather(first, second)
    assert work.begun == ["a", "a"]


async def test_no_more_than_so_many_are_at_work_at_once() -> None:
    work = Work()
    coalesce = Coalesce(work, pause=0, at_once=2)
    asking = [asyncio.create_task(coalesce.ask(str(number))) for number in range(6)]
    await until_begun(work, 2)
    work.go_on.set()
    await asyncio.gather(*asking)
    assert work.most == 2


async def test_an_error_reaches_all_who_share_the_turn_and_the_next_turn_is_new() -> None:
    tries = []

    async def fail_once(key: str) -> None:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError(key)

    coalesce = Coalesce(fail_once, pause=0.01, at_once=1)
    results = await asyncio.gather(coalesce.ask("a"), coalesce.ask("a"), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError]
    await coalesce.ask("a")
    assert tries == ["a", "a"]


async def test_one_who_gives_up_does_not_take_the_turn_away_from_the_others() -> None:
    work = Work()
    work.go_on.set()
    coalesce = Coalesce(work, pause=0.01, at_once=1)
    leaving, staying = (asyncio.create_task(coalesce.ask("a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert work.begun == ["a"]
    with pytest.raises(asyncio.CancelledError):
        await leaving
