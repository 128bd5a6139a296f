"""States of one workspace that are handled at the same time: what was deleted is not planned afterwards."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.chassis.bus import Bus
from services.contracts import subjects
from services.contracts.messages import PlanState, WorkspaceState
from services.contracts.offers import Offer, Offers
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
