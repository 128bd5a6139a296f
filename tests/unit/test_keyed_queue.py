"""The queue of keys: once each, never two at a time, and again when asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.keyed_queue import KeyedQueue


@asynccontextmanager
async def working(
    queue: KeyedQueue[str], look: Callable[[str], Awaitable[float]], workers: int = 3
) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(queue.work(look)) for _ in range(workers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_a_key_that_was_added_many_times_is_looked_at_once() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    seen: list[str] = []

    async def look(key: str) -> float:
        seen.append(key)
        return 0

    for _ in range(5):
        queue.add("a")
    queue.add("b")
    async with working(queue, look):
        await until(lambda: len(seen) >= 2)
    assert sorted(seen) == ["a", "b"]


async def test_nobody_looks_at_a_key_while_another_does_and_news_are_not_lost() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    at_once, most, looks = 0, 0, 0
    go_on = asyncio.Event()

    async def look(_: str) -> float:
        nonlocal at_once, most, looks
        at_once, looks = at_once + 1, looks + 1
        most = max(most, at_once)
        await go_on.wait()
        at_once -= 1
        return 0

    async with working(queue, look):
        queue.add("a")
        await until(lambda: looks == 1)
        queue.add("a")
        await asyncio.sleep(0)
        go_on.set()
        await until(lambda: looks == 2)
    assert most == 1


async def test_a_slow_key_does_not_hold_up_the_others() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    seen: list[str] = []

    async def look(key: str) -> float:
        if key == "slow":
            await asyncio.Event().wait()
        seen.append(key)
        return 0

    async with working(queue, look, workers=2):
        for key in ("slow", "a", "b"):
            queue.add(key)
        await until(lambda: len(seen) == 2)
    assert seen == ["a", "b"]


async def test_a_key_comes_again_when_its_look_asks_for_it() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    looks = 0

    async def look(_: str) -> float:
        nonlocal looks
        looks += 1
        return 0.01 if looks < 3 else 0

    queue.add("a")
    async with working(queue, look):
        await until(lambda: looks == 3)


async def test_the_sooner_of_two_times_counts() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    looked = asyncio.Event()

    async def look(_: str) -> float:
        looked.set()
        return 0

    queue.add("a", after=3600)
    queue.add("a", after=0.01)
    queue.add("a", after=3600)
    async with working(queue, look):
        await asyncio.wait_for(looked.wait(), 60)


async def test_of_many_keys_each_is_looked_at_in_its_turn_whatever_was_said_of_it_before() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    seen: list[str] = []

    async def look(key: str) -> float:
        seen.append(key)
        await asyncio.sleep(0)
        return 0

    async with working(queue, look, workers=4):
        await asyncio.sleep(0)  # all wait for something to do
        for number in range(100):
            queue.add(f"{number}", after=3600 + number)
            queue.add(f"{number}", after=0.001 * (100 - number))
            queue.add(f"{number}", after=1800)
        await until(lambda: len(seen) >= 100)
        queue.add("sooner than what is left of the old times", after=0.001)
        await until(lambda: len(seen) >= 101)
    assert len(set(seen)) == len(seen) == 101


async def test_a_look_that_was_broken_off_is_made_by_who_works_next() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    begun, done = asyncio.Event(), asyncio.Event()

    async def hangs(_: str) -> float:
        begun.set()
        await asyncio.Event().wait()
        return 0

    async def look(_: str) -> float:
        done.set()
        return 0

    queue.add("a")
    async with working(queue, hangs):
        await begun.wait()
    async with working(queue, look):
        await asyncio.wait_for(done.wait(), 60)


async def test_what_a_look_raises_ends_the_work() -> None:
    queue: KeyedQueue[str] = KeyedQueue()

    async def look(_: str) -> float:
        raise ValueError("no good")

    queue.add("a")
    with pytest.raises(ValueError, match="no good"):
        await asyncio.wait_for(queue.work(look), 60)


async def test_a_look_that_swallows_the_cancellation_does_not_go_on_for_ever() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    begun = asyncio.Event()

    async def swallows(_: str) -> float:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 0
        return 0

    queue.add("a")
    task = asyncio.create_task(queue.work(swallows))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
