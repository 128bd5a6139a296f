"""A pass that is cut off at each of its awaits, and a process that starts anew: one machine or none, never two.

The bus and the API server are real. A crash is played by a pass none of whose coroutines goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.chassis.kube import dig_str
from services.chassis.settle import Again
from services.contracts.messages import Demand
from services.provisioner.loop import Loop
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.providers.fake.provider import FakeProvider
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.refusals import Pauses, Refusals
from services.provisioner.view import Deadlines
from tests.kubernetes.provisioner_fixtures import World, installed, until, world

__all__ = ["installed", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

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
    running = asyncio.get_running_loop()

    async def one_pass() -> None:
        CUT.set(cut)
        await cut.steps_of(loop.handle(wanted))

    before = running.get_task_factory()
    running.set_task_factory(_counting)
    try:
        await asyncio.gather(asyncio.create_task(one_pass()), return_exceptions=True)
    finally:
        running.set_task_factory(before)
    return cut.happened


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
    at, happened = 0, True
    while happened:
        at += 1
        world.uid = f"made-{world.name}-{at}"
        wanted = world.demand(2, at)
        await world.bus.publish(wanted)
        await shown(world, wanted)
        async with fresh(world) as loop:
            happened = await cut_off(loop, wanted, at)
        made = await uids(world)
        assert len(made) <= 2
        await settled(world, wanted)
        assert set(made) <= set(await uids(world)), f"cut off at {at}: what was made is not adopted"
        assert len(await world.nodes()) == 2, f"cut off at {at}"
        said = await world.report()
        assert said is not None
        assert sorted(node.name for node in said.nodes) == await world.node_names()
    assert at > 20, "a pass has many awaits; were they counted?"


async def test_cut_off_anywhere_while_machines_are_let_go_none_is_left(world: World) -> None:
    at, happened = 0, True
    while happened:
        at += 1
        world.uid = f"gone-{world.name}-{at}"
        await world.bus.publish(world.demand(2, 2 * at))
        await shown(world, world.demand(2, 2 * at))
        await settled(world, world.demand(2, 2 * at))
        assert len(await world.nodes()) == 2
        nothing = world.demand(0, 2 * at + 1)
        await world.bus.publish(nothing)
        await shown(world, nothing)
        async with fresh(world) as loop:
            happened = await cut_off(loop, nothing, at)
        said = await world.report()
        assert not (said and said.released and await world.nodes()), f"cut off at {at}: said to be gone, and is not"
        await settled(world, nothing, released=True)
        assert await world.nodes() == [], f"cut off at {at}"
    assert at > 20, "a pass has many awaits; were they counted?"


async def shown(world: World, wanted: Demand) -> None:
    """Wait until the newest demand is this one: its stream is a copy."""

    async def same() -> bool:
        return await world.bus.newest(Demand, wanted.subject) == wanted

    await until(same)


async def _is(value: bool) -> bool:
    return value
