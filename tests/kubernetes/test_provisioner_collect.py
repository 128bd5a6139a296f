"""Machines that nobody wants any more are collected, and no others."""

from __future__ import annotations

import pytest

from services.chassis.bus import Bus
from services.contracts.messages import Demand
from services.contracts.subjects import Stream
from services.provisioner.collect import Collector
from tests.kubernetes.provisioner_fixtures import World, none, ready, until, world

__all__ = ["world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Looks:
    """How often the garbage collector has looked."""

    def __init__(self) -> None:
        self.count = 0

    async def more(self, times: int) -> None:
        """Wait until it has looked so many times again."""
        wanted = self.count + times

        async def enough() -> bool:
            return self.count >= wanted

        await until(enough)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    found, look = Looks(), Collector._look

    async def counted(self: Collector) -> None:
        await look(self)
        found.count += 1

    monkeypatch.setattr(Collector, "_look", counted)
    return found


async def test_a_machine_whose_workspace_is_gone_is_collected(world: World, looks: Looks) -> None:
    world.uid = await world.apply_workspace()
    async with world.provisioner(collect_seconds=0.3, grace_seconds=1.0, settle_seconds=0.5):
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        await world.bus.js.purge_stream(Stream.DEMANDS)  # nobody will say 0
        await looks.more(10)  # three seconds' worth
        assert len(await world.nodes()) == 1, "a lost demand alone is no reason"
        await world.delete_workspace()
        await until(lambda: none(world.nodes()))


async def test_who_lets_go_while_it_is_collected_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    forget, subject = Bus.forget, world.demand(0).subject

    async def last_word() -> bool:
        said = await world.bus.newest(Demand, subject)
        return said is not None and said.nodes == 0

    async def late(self: Bus, *arguments: object) -> None:
        await world.bus.publish(world.demand(0))
        await until(last_word)
        await forget(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Bus, "forget", late)
    async with world.provisioner(collect_seconds=0.3, grace_seconds=0.5, settle_seconds=0.5):
        await world.bus.publish(world.demand(1))
        await world.until_report(lambda said: said.released)
        assert await world.nodes() == []


async def test_a_demand_without_a_workspace_does_not_bring_a_collected_machine_back(world: World) -> None:
    async with world.provisioner(collect_seconds=0.3, grace_seconds=0.5, settle_seconds=0.5):
        await world.bus.publish(world.demand(1))
        await until(world.nodes)
        await until(lambda: none(world.nodes()))
        assert await world.bus.newest(Demand, world.demand(1).subject) is None


async def test_nothing_is_collected_in_the_time_after_the_start(world: World, looks: Looks) -> None:
    async with world.provisioner(collect_seconds=0.2, grace_seconds=0.0, settle_seconds=60.0):
        await world.bus.publish(world.demand(1))
        await world.until_report(ready)
        await looks.more(8)
        assert len(await world.nodes()) == 1
