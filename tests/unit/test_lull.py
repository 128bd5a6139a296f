"""A lull: who may wait does so while others hurry, and no longer than was said."""

from __future__ import annotations

import asyncio

from services.chassis.lull import Lull


def clock() -> float:
    return asyncio.get_running_loop().time()


async def waits(lull: Lull) -> float:
    began = clock()
    await lull.wait()
    return clock() - began


async def test_nobody_waits_where_nothing_has_happened() -> None:
    assert await waits(Lull(quiet=60, at_most=60)) < 1


async def test_it_is_over_when_it_has_been_quiet_for_so_long() -> None:
    lull = Lull(quiet=0.05, at_most=60)
    lull.hurry()
    assert 0.04 < await waits(lull) < 5


async def test_each_new_hurry_makes_it_longer() -> None:
    lull = Lull(quiet=0.1, at_most=60)
    lull.hurry()
    asyncio.get_running_loop().call_later(0.08, lull.hurry)
    assert await waits(lull) > 0.17


async def test_nobody_waits_longer_than_was_said_however_much_others_hurry() -> None:
    lull = Lull(quiet=60, at_most=0.05)
    lull.hurry()
    assert 0.04 < await waits(lull) < 5
