"""What comes first: a deletion before a plan, and that a workspace is held before any machine is asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.chassis.bus import Bus
from services.contracts import subjects
from services.contracts.conditions import Reason
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Demand, PlanState, Report, WorkspaceState
from services.contracts.offers import Offer, Offers
from services.contracts.subjects import ServiceName
from services.contracts.workspace import Inference, LabelSelector, Preset, Resource, WorkspaceSpec
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler

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
DEMAND, REPORT = subjects.demand("acme", "default", "w"), subjects.report(ServiceName.SCHEDULER, "default", "w")
FREE = APPLIED.model_copy(update={"held": False, "resource_version": "0"})
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


async def test_so_it_does_though_its_namesake_goes_before_it_is_planned(bus: Bus, scheduler: Scheduler) -> None:
    await scheduler.on_workspace(FREE)
    await scheduler.on_workspace(NAMESAKE.model_copy(update={"deleting": True}))
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


async def test_no_machine_is_asked_for_before_the_workspace_is_held(bus: Bus, scheduler: Scheduler) -> None:
    await scheduler.on_workspace(FREE)
    assert (await bus.last(PlanState, subjects.plan("default", "w"))).message is not None
    assert (await bus.last(Demand, DEMAND)).message is None
    assert (await bus.last(Report, REPORT)).message is None, "it is ready when its machines are asked for"
    await scheduler.on_workspace(APPLIED)
    assert (await bus.last(Demand, DEMAND)).message is not None
    assert (await bus.last(Report, REPORT)).message is not None


async def test_nor_because_of_a_report_that_comes_meanwhile(bus: Bus, scheduler: Scheduler) -> None:
    await bus.publish(FREE)
    await scheduler.on_workspace(FREE)
    found = Failure(code=FailureCode.QUOTA_EXCEEDED, message="no quota is left")
    await scheduler.on_report(
        Report(namespace="default", name="w", uid="3c8f", generation=1, service=ServiceName.DEPLOYER, failure=found)
    )
    assert (await bus.last(Demand, DEMAND)).message is None


async def test_one_that_is_held_by_now_gets_machines_by_an_older_message_too(bus: Bus, scheduler: Scheduler) -> None:
    await bus.publish(FREE)
    await bus.publish(APPLIED)
    await scheduler.on_workspace(FREE)
    assert (await bus.last(Demand, DEMAND)).message is not None


async def test_what_is_wrong_is_told_without_waiting_for_that(bus: Bus, scheduler: Scheduler) -> None:
    unknown = APPLIED.spec.model_copy(update={"inference": Inference(preset=Preset(name="no-such-model"))})
    await scheduler.on_workspace(FREE.model_copy(update={"spec": unknown}))
    told = (await bus.last(Report, REPORT)).message
    assert told is not None
    assert [condition.reason for condition in told.conditions] == [Reason.UNKNOWN_PRESET]
