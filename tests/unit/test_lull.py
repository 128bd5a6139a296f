"""A lull: who may wait does so while others hurry, and no longer than was said."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.lull import Lull
from tests.unit.virtual_time import run


def waits(lull: Lull, *, hurries: tuple[float, ...] = ()) -> float:
    """The seconds that one waits who comes now, while others hurry so many seconds from now."""

    async def wait() -> float:
        clock = asyncio.get_running_loop().time
        for at in hurries:
            asyncio.get_running_loop().call_later(at, lull.hurry) if at else lull.hurry()
        began = clock()
        await lull.wait()
        return clock() - began

    return run(wait())


def test_nobody_waits_where_nothing_has_happened() -> None:
    assert waits(Lull(quiet=60, at_most=60)) == 0


def test_it_is_over_when_it_has_been_quiet_for_so_long() -> None:
    assert waits(Lull(quiet=0.05, at_most=60), hurries=(0,)) == pytest.approx(0.05)


def test_each_new_hurry_makes_it_longer() -> None:
    assert waits(Lull(quiet=0.1, at_most=60), hurries=(0, 0.08, 0.15)) == pytest.approx(0.25)


def test_nobody_waits_longer_than_was_said_however_much_others_hurry() -> None:
    assert waits(Lull(quiet=60, at_most=0.05), hurries=(0, 0.01)) == pytest.approx(0.05)
