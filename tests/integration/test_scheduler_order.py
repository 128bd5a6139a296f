"""What comes first: a deletion before a plan, and in a burst all plans before the first demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from services.chassis.bus import Bus
from services.contracts import subjects
from services.contracts.messages import Demand, PlanState, WorkspaceState
from services.contracts.offers import Offer, Offers
from services.contracts.workspace import Inference, LabelSelector, Preset, Resource, WorkspaceSpec
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler
from tests.burst import Burst

OFFER = Offer(
    instance_type="large", gpus=1, gpu_model="A100", gpu_memory_gib=79, price_per_hour=3, cuda_compute_capability=8.0
)
APPLIED = WorkspaceState(
    namespace="default",
    name="w",
    uid="3c8f",
    generation=1,
    resource_version="1",
    spec=WorkspaceSpec(
        resource=Resource(label_selector=LabelSelector(match_labels={"apps": "w"})),
        inference=Inference(preset=Preset(name="phi-3-mini-4k-instruct")),
    ),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
DELETED = APPLIED.model_copy(update={"deleting": True, "resource_version": "2"})


@pytest.fixture
async def scheduler(bus: Bus) -> Scheduler:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))
    return Scheduler(bus, load_catalogue(), load_known_skus())


@pytest.mark.parametrize("order", [(APPLIED, DELETED), (DELETED, APPLIED)], ids=["in order", "the other way round"])
async def test_a_workspace_that_is_deleted_while_it_is_planned_has_no_plan_that_stands(
    bus: Bus, scheduler: Scheduler, order: tuple[WorkspaceState, ...]
) -> None:
    await bus.publish(APPLIED)
    await bus.publish(DELETED)
    await asyncio.gather(*(scheduler.on_workspace(state) for state in order))
    last = await bus.last(PlanState, subjects.plan("default", "w"))
    assert last.message is None or last.message.retired


NAMESAKE = APPLIED.model_copy(update={"uid": "77aa", "resource_version": "3"})
NO_SUCH_MODEL = APPLIED.spec.model_copy(update={"inference": Inference(preset=Preset(name="no-such-model"))})


async def test_the_plan_of_one_that_went_by_force_ends_though_its_namesake_gets_none(
    bus: Bus, scheduler: Scheduler
) -> None:
    await scheduler.on_workspace(APPLIED)
    await scheduler.on_workspace(NAMESAKE.model_copy(update={"spec": NO_SUCH_MODEL}))
    last = (await bus.last(PlanState, subjects.plan("default", "w"))).message
    assert last is not None
    assert (last.uid, last.retired) == (APPLIED.uid, True)


async def test_the_end_of_a_workspace_that_comes_late_does_not_end_its_namesakes_plan(
    bus: Bus, scheduler: Scheduler
) -> None:
    await scheduler.on_workspace(APPLIED)
    made = (await bus.last(PlanState, subjects.plan("default", "w"))).message
    assert made is not None
    await bus.publish(NAMESAKE)
    await scheduler.on_workspace(NAMESAKE)
    await scheduler.on_workspace(DELETED.model_copy(update={"plan": made.plan}))
    last = (await bus.last(PlanState, subjects.plan("default", "w"))).message
    assert last is not None
    assert (last.uid, last.retired) == (NAMESAKE.uid, False)


async def test_in_a_burst_no_node_is_demanded_before_all_are_planned(bus: Bus) -> None:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))
    burst = Burst()
    scheduler = Scheduler(bus, load_catalogue(), load_known_skus(), lull=burst)
    names = ("a", "b", "c")
    states = [APPLIED.model_copy(update={"name": name, "uid": f"uid-{name}"}) for name in names]
    planning = [asyncio.create_task(scheduler.on_workspace(state)) for state in states]
    await until(lambda: bus.subjects(PlanState), [subjects.plan("default", name) for name in names])
    assert await bus.subjects(Demand) == []
    burst.over.set()
    await asyncio.gather(*planning)
    await until(lambda: bus.subjects(Demand), [subjects.demand("acme", "default", name) for name in names])


async def test_who_is_planned_alone_waits_for_nobody(bus: Bus) -> None:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))
    scheduler = Scheduler(bus, load_catalogue(), load_known_skus(), lull=Burst())
    async with asyncio.timeout(60):
        await scheduler.on_workspace(APPLIED)
    await until(lambda: bus.subjects(Demand), [subjects.demand("acme", "default", "w")])


async def until(found: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> None:
    """Wait until that is found: what is published shows in the copies of HISTORY a moment later."""
    async with asyncio.timeout(60):
        while await found() != wanted:
            await asyncio.sleep(0.01)
