"""Two schedulers on one bus, one of which is slow: what it has read is out of date by the time it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from services.chassis.bus import Bus, Last
from services.chassis.settle import Outdated
from services.contracts import subjects
from services.contracts.messages import Demand, Message, PlanState, Report, WorkspaceState
from services.contracts.offers import Offers
from services.contracts.subjects import ServiceName
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler
from tests.integration.conftest import NatsServer, connected_bus
from tests.integration.test_scheduler_order import APPLIED, DELETED, OFFER

PLAN, DEMAND = subjects.plan("default", "w"), subjects.demand("acme", "default", "w")
REPORT = subjects.report(ServiceName.SCHEDULER, "default", "w")


class Slow:
    """A scheduler that stops when it has read the workspace, until it is let go on."""

    def __init__(self, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scheduler = Scheduler(bus, load_catalogue(), load_known_skus())
        self.stopped, self.go_on = asyncio.Event(), asyncio.Event()
        read = bus.offers

        async def slowly(*, younger_than: float) -> tuple[Offers, ...]:
            self.stopped.set()
            await self.go_on.wait()
            return await read(younger_than=younger_than)

        monkeypatch.setattr(bus, "offers", slowly)

    @asynccontextmanager
    async def planning(self) -> AsyncIterator[None]:
        """It is at it meanwhile; what it writes in the end may be refused."""
        task = asyncio.create_task(self.scheduler.on_workspace(APPLIED))
        await self.stopped.wait()
        yield
        self.go_on.set()
        try:
            await task
        except Outdated:
            return


@pytest.fixture
async def slow(nats_server: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slow]:
    assert bus.connected, "the topology is there"
    async with connected_bus(nats_server.url, "slow") as its_own:
        yield Slow(its_own, monkeypatch)


@pytest.fixture
async def quick(bus: Bus) -> Scheduler:
    return Scheduler(bus, load_catalogue(), load_known_skus())


async def offer(bus: Bus) -> None:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))


async def say_released(bus: Bus, scheduler: Scheduler, service: ServiceName, provider: str | None = None) -> None:
    await scheduler.on_report(await report_released(bus, service, provider))


async def report_released(bus: Bus, service: ServiceName, provider: str | None = None) -> Report:
    report = Report(
        namespace="default", name="w", uid=APPLIED.uid, generation=1, service=service, provider=provider, released=True
    )
    await bus.publish(report)
    async with asyncio.timeout(60):
        while await bus.newest(Report, report.subject) != report:
            await asyncio.sleep(0.01)
    return report


async def forget(bus: Bus, *kept: tuple[type[Message], str]) -> None:
    """What the watcher does once the scheduler has let go: messages go from the newest, and HISTORY keeps them."""
    for kind, subject in kept:
        async with asyncio.timeout(60):
            while subject not in await bus.subjects(kind):
                await asyncio.sleep(0.01)
        await bus.forget(kind, subject, APPLIED.uid)


async def test_a_first_plan_that_comes_after_all_was_let_go_of_is_retired_and_buys_nothing(
    bus: Bus, slow: Slow, quick: Scheduler
) -> None:
    await offer(bus)
    await bus.publish(APPLIED)
    async with slow.planning():
        await bus.publish(DELETED)
        assert await quick.on_workspace(DELETED) is None, "nothing was planned, so nothing is left"
        await forget(bus, (Report, REPORT), (WorkspaceState, APPLIED.subject))
    assert await bus.subjects(Demand) == []
    late = (await bus.last(PlanState, PLAN)).message
    assert late is not None
    assert late.retired
    await say_released(bus, quick, ServiceName.DEPLOYER)
    demand = (await bus.last(Demand, DEMAND)).message
    assert demand is not None
    assert demand.nodes == 0
    await say_released(bus, quick, ServiceName.PROVISIONER, "acme")
    await forget(bus, (Report, REPORT))  # it is told once more, so that the watcher forgets the plan too


async def test_a_plan_of_an_earlier_workspace_gives_way_to_the_namesakes(
    bus: Bus, slow: Slow, quick: Scheduler
) -> None:
    await offer(bus)
    namesake = APPLIED.model_copy(update={"uid": "4d90", "resource_version": "9"})
    await bus.publish(APPLIED)
    async with slow.planning():
        await bus.publish(DELETED)
        await quick.on_workspace(DELETED)
        await bus.publish(namesake)
    plan, demand = (await bus.last(PlanState, PLAN)).message, (await bus.last(Demand, DEMAND)).message
    assert plan is not None
    assert demand is not None
    assert (plan.uid, plan.retired, demand.uid, demand.nodes) == ("4d90", False, "4d90", 1)


async def test_an_earlier_workspaces_demand_that_is_late_is_not_put_over_the_namesakes(
    bus: Bus, slow: Slow, quick: Scheduler
) -> None:
    await offer(bus)
    await quick.on_workspace(APPLIED.model_copy(update={"held": False}))
    await bus.publish(APPLIED)
    async with slow.planning():
        namesake = APPLIED.model_copy(update={"uid": "4d90", "resource_version": "9"})
        await bus.publish(namesake)
        await quick.on_workspace(namesake)
    demand = (await bus.last(Demand, DEMAND)).message
    assert demand is not None
    assert demand.uid == "4d90"


async def test_why_there_is_no_plan_does_not_hide_that_all_was_let_go_of(
    bus: Bus, slow: Slow, quick: Scheduler
) -> None:
    await bus.publish(APPLIED)
    async with slow.planning():
        await bus.publish(DELETED)
        await quick.on_workspace(DELETED)
    report = (await bus.last(Report, REPORT)).message
    assert report is not None
    assert report.released, "else the watcher would never let go of the workspace"


async def test_nodes_that_were_let_go_of_are_not_demanded_again_for_the_same_plan(
    bus: Bus, slow: Slow, quick: Scheduler
) -> None:
    await offer(bus)
    await bus.publish(APPLIED)
    await quick.on_workspace(APPLIED)
    async with slow.planning():
        await bus.publish(DELETED)
        await quick.on_workspace(DELETED)
        await say_released(bus, quick, ServiceName.DEPLOYER)
    demand = (await bus.last(Demand, DEMAND)).message
    assert demand is not None
    assert demand.nodes == 0


async def test_a_workspace_that_is_there_again_is_planned_anew(bus: Bus, quick: Scheduler) -> None:
    """An API server that was restored from a copy has it again, under the same uid."""
    await offer(bus)
    await bus.publish(APPLIED)
    await quick.on_workspace(APPLIED)
    await bus.publish(DELETED)
    await quick.on_workspace(DELETED)
    await say_released(bus, quick, ServiceName.DEPLOYER)
    await say_released(bus, quick, ServiceName.PROVISIONER, "acme")
    again = APPLIED.model_copy(update={"resource_version": "3"})
    await bus.publish(again)
    await quick.on_workspace(again)
    demand, report = (await bus.last(Demand, DEMAND)).message, (await bus.last(Report, REPORT)).message
    assert demand is not None
    assert report is not None
    assert (demand.nodes, report.released) == (1, False)


@pytest.mark.parametrize("kind", [PlanState, Demand, Report])
async def test_a_release_that_is_late_takes_nothing_from_the_namesake(
    bus: Bus, quick: Scheduler, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, kind: type[Message]
) -> None:
    """The one that releases stops before it reads that kind; by then the name is another's."""
    await offer(bus)
    await bus.publish(APPLIED)
    await quick.on_workspace(APPLIED)
    made = (await bus.last(PlanState, PLAN)).message
    assert made is not None
    gone, namesake = DELETED.model_copy(update={"plan": made.plan}), APPLIED.model_copy(update={"uid": "4d90"})
    await bus.publish(gone)
    if kind is not PlanState:
        await quick.on_workspace(gone)
        await report_released(bus, ServiceName.DEPLOYER)
    if kind is Report:
        await report_released(bus, ServiceName.PROVISIONER, "acme")
    async with connected_bus(nats_server.url, "slow") as its_own:
        stopped, go_on = stop_before(its_own, kind, monkeypatch)
        late = asyncio.create_task(Scheduler(its_own, load_catalogue(), load_known_skus()).on_workspace(gone))
        await stopped.wait()
        await bus.publish(namesake)
        await quick.on_workspace(namesake)
        go_on.set()
        with pytest.raises(Outdated):
            await late
    plan, demand, report = bus.last(PlanState, PLAN), bus.last(Demand, DEMAND), bus.last(Report, REPORT)
    found: list[Message | None] = [(await plan).message, (await demand).message, (await report).message]
    assert [message.uid for message in found if message] == ["4d90"] * 3


def stop_before(bus: Bus, kind: type[Message], monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Have whoever reads that kind of message wait: it has come so far, and it may go on."""
    stopped, go_on = asyncio.Event(), asyncio.Event()
    read = bus.last

    async def last(of: type[Message], subject: str) -> Last[Message]:
        if of is kind:
            stopped.set()
            await go_on.wait()
        return await read(of, subject)

    monkeypatch.setattr(bus, "last", last)
    return stopped, go_on
