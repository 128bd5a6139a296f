"""A pass that is cut off at each of its awaits, and a process that starts anew: one machine or none, never two.

The bus and the API server are real. A crash is played by a pass none of whose coroutines goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.chassis.kube import dig_str
from services.chassis.settle import Again
from services.contracts.messages import Demand
from services.provisioner.loop import Loop
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Deadlines
from services.provisioner.providers.fake.provider import FakeProvider
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.refusals import Pauses, Refusals
from tests.kubernetes.provisioner_fixtures import World, until, world

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_ONCE = 8

CUT: contextvars.ContextVar[Cut | None] = contextvars.ContextVar("cut", default=None)
"""Set in the pass, and in all tasks that it starts."""


class Cut:
    """Counts the steps of a pass and of its tasks, and lets none happen from number `at` on."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    @types.coroutine
    def steps_of(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same coroutine, step by step."""
        value: Any = None
        error: BaseException | None = None
        while True:
            self.steps += 1
            if self.steps >= self.at:
                error = asyncio.CancelledError()
            try:
                waits_for = work.throw(error) if error else work.send(value)
            except StopIteration as end:
                return end.value
            try:
                value, error = (yield waits_for), None
            except BaseException as raised:
                error = raised

    @property
    def happened(self) -> bool:
        return self.steps >= self.at


def _counting(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    cut = CUT.get()
    return asyncio.Task(work if cut is None else cut.steps_of(work), loop=loop, **options)


async def cut_off(loop: Loop, wanted: Demand, at: int) -> bool:
    """One pass, cut off at its await number `at`. Returns whether it came that far."""
    cut = Cut(at)

    async def one_pass() -> None:
        CUT.set(cut)
        await cut.steps_of(loop.handle(wanted))

    await asyncio.gather(asyncio.create_task(one_pass()), return_exceptions=True)
    return cut.happened


async def at_every_await(world: World, case: Callable[[World, int], Awaitable[bool]]) -> None:
    """Play a case cut off at the first await, the second, and so on, each with a workspace of its own."""
    running = asyncio.get_running_loop()
    before = running.get_task_factory()
    running.set_task_factory(_counting)
    try:
        for first in itertools.count(1, AT_ONCE):
            worlds = [World(world.bus, world.kube, world.nats, world.env) for _ in range(AT_ONCE)]
            cut = await asyncio.gather(*(case(own, first + number) for number, own in enumerate(worlds)))
            if not all(cut):
                break
    finally:
        running.set_task_factory(before)
    assert first > AT_ONCE, "a pass has many awaits; were they counted?"


@asynccontextmanager
async def fresh(world: World) -> AsyncIterator[Loop]:
    """What a process has that has just started: nothing but what the bus and the API server tell it."""
    nodes = Nodes(world.kube, "fake")
    provider = FakeProvider(world.kube, nodes, FakeSettings())
    offers = OfferPublisher(world.bus, provider, 60)
    offers.asked = True
    following = asyncio.create_task(nodes.run())
    await until(lambda: _is(nodes.synced))
    yield Loop(world.bus, provider, nodes, offers, Refusals(Pauses()), Deadlines())
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def settled(world: World, wanted: Demand, *, released: bool = False) -> None:
    """A fresh loop comes to the end: what it says is what there is."""
    async with fresh(world) as loop:

        async def done() -> bool:
            again: Again | None = await loop.handle(wanted)
            said = await world.report()
            return said is not None and said.plan_revision == wanted.plan_revision and (again is None) is released

        await until(done)


async def uids(world: World) -> list[str]:
    return sorted(dig_str(node, "metadata", "uid") for node in await world.nodes())


async def test_cut_off_anywhere_while_machines_are_made_each_is_there_once_in_the_end(world: World) -> None:
    async def case(own: World, at: int) -> bool:
        wanted = own.demand(2)
        await own.bus.publish(wanted)
        await shown(own, wanted)
        async with fresh(own) as loop:
            happened = await cut_off(loop, wanted, at)
        made = await uids(own)
        assert len(made) <= 2
        await settled(own, wanted)
        found = await uids(own)
        assert len(found) == 2, f"cut off at {at}"
        assert set(made) <= set(found), f"cut off at {at}: what was made is not adopted"
        said = await own.report()
        assert said is not None
        assert sorted(node.name for node in said.nodes) == await own.node_names()
        return happened

    await at_every_await(world, case)


async def test_cut_off_anywhere_while_machines_are_let_go_none_is_left(world: World) -> None:
    async def case(own: World, at: int) -> bool:
        await own.bus.publish(own.demand(2))
        await shown(own, own.demand(2))
        await settled(own, own.demand(2))
        assert len(await own.nodes()) == 2
        nothing = own.demand(0, 2)
        await own.bus.publish(nothing)
        await shown(own, nothing)
        async with fresh(own) as loop:
            happened = await cut_off(loop, nothing, at)
        said = await own.report()
        assert not (said and said.released and await own.nodes()), f"cut off at {at}: said to be gone, and is not"
        await settled(own, nothing, released=True)
        assert await own.nodes() == [], f"cut off at {at}"
        return happened

    await at_every_await(world, case)


async def shown(world: World, wanted: Demand) -> None:
    """Wait until the newest demand is this one: its stream is a copy."""

    async def same() -> bool:
        return await world.bus.newest(Demand, wanted.subject) == wanted

    await until(same)


async def _is(value: bool) -> bool:
    return value
