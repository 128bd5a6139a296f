"""A Workspace that names a model of the hub: pending, planned at a commit, and sticky when the hub is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from services.chassis.bus import Bus
from services.chassis.settle import Again
from services.contracts import subjects
from services.contracts.conditions import Condition, Reason
from services.contracts.messages import PlanState, Report, WorkspaceState
from services.contracts.offers import Offer, Offers
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName, Stream
from services.contracts.workspace import (
    Inference,
    LabelSelector,
    Preset,
    PresetOptions,
    Resource,
    WorkspaceSpec,
)
from services.scheduler.architectures import load_architectures
from services.scheduler.catalog import load_catalogue
from services.scheduler.hub.book import FactsBook
from services.scheduler.hub.client import HubClient, Limits
from services.scheduler.hub.model_facts import reader
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler
from tests.hub.models import COMMIT, single
from tests.hub.server import Hub
from tests.integration.hub_fixtures import hub

__all__ = ["hub"]

MODEL = "acme/small-1b"
OTHER_COMMIT = "f" * 40
OFFER = Offer(
    instance_type="large", gpus=1, gpu_model="A100", gpu_memory_gib=79, price_per_hour=3, cuda_compute_capability=8.0
)


class OneToken:
    """A secret `right` with a token, and no other."""

    async def read(self, namespace: str, secret: str) -> SecretStr:
        return SecretStr("hf_right" if secret == "right" else "hf_wrong")


class Setting:
    """The scheduler on a real bus and with a hub; `apply` does what the bus does until there is nothing to wait for."""

    def __init__(self, bus: Bus, url: str) -> None:
        self.bus = bus
        self.book = FactsBook(HubClient(url, Limits(1, 1)), OneToken(), reader(load_architectures()))
        self.scheduler = Scheduler(bus, load_catalogue(), load_known_skus(), self.book)

    async def apply(self, state: WorkspaceState) -> None:
        await self.bus.publish(state)
        async with asyncio.timeout(20):
            while isinstance(again := await self.scheduler.on_workspace(state), Again) and again.after < 2:
                await asyncio.sleep(again.after)

    async def told(self, reason: Reason) -> Condition:
        """The condition, once it has that reason: what is published takes a moment to be read."""
        async with asyncio.timeout(20):
            while True:
                report = await self.bus.newest(Report, subjects.report(ServiceName.SCHEDULER, "default", "w"))
                if report is not None and report.conditions[0].reason == reason:
                    return report.conditions[0]
                await asyncio.sleep(0.02)

    async def plan(self, revision: int = 1) -> Plan:
        """The plan of that revision, once it is there."""
        async with asyncio.timeout(20):
            while True:
                state = await self.bus.newest(PlanState, subjects.plan("default", "w"))
                if state is not None and state.plan.revision == revision:
                    return state.plan
                await asyncio.sleep(0.02)


@pytest.fixture
async def setting(bus: Bus, hub: Hub) -> AsyncIterator[Setting]:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))
    setting = Setting(bus, hub.url)
    yield setting
    await setting.book.close()


def workspace(
    name: str = MODEL, *, secret: str | None = None, generation: int = 1, count: int = 1, plan: Plan | None = None
) -> WorkspaceState:
    options = PresetOptions(model_access_secret=secret) if secret else None
    return WorkspaceState(
        namespace="default",
        name="w",
        uid="3c8f",
        generation=generation,
        resource_version=str(generation),
        spec=WorkspaceSpec(
            resource=Resource(count=count, label_selector=LabelSelector(match_labels={"apps": "w"})),
            inference=Inference(preset=Preset(name=name, preset_options=options)),
        ),
        plan=plan,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_it_is_pending_at_once_and_planned_when_the_facts_are_there(setting: Setting, hub: Hub) -> None:
    hub.add(single(MODEL))
    hub.silence()
    state = workspace()
    await setting.bus.publish(state)
    assert isinstance(await setting.scheduler.on_workspace(state), Again)
    await setting.told(Reason.MODEL_FACTS_PENDING)
    hub.go_on.set()
    await setting.apply(state)
    plan = await setting.plan()
    assert plan.model is not None
    assert (plan.model.id, plan.model.revision, plan.model.weights_gib) == (MODEL, COMMIT, 2.3)
    await setting.told(Reason.PLANNED)


async def test_a_plan_that_is_made_anew_stays_at_its_commit(setting: Setting, hub: Hub) -> None:
    hub.add(single(MODEL))
    await setting.apply(workspace())
    first = await setting.plan()
    hub.repos[MODEL].commit, hub.repos[MODEL].older = OTHER_COMMIT, frozenset({COMMIT})
    fresh = Setting(setting.bus, hub.url)  # a scheduler that knows nothing but the plan
    await fresh.apply(workspace(generation=2, count=2, plan=first))
    second = await setting.plan(revision=2)
    assert second.model is not None
    assert second.model.revision == COMMIT
    await fresh.book.close()


async def test_a_plan_stands_while_the_hub_is_gone(setting: Setting, hub: Hub) -> None:
    hub.add(single(MODEL))
    await setting.apply(workspace())
    plan = await setting.plan()
    lost = Setting(setting.bus, "http://127.0.0.1:9")
    await lost.apply(workspace(plan=plan))
    await lost.told(Reason.PLANNED)
    await lost.apply(workspace(generation=2, count=2, plan=plan))
    await lost.told(Reason.HUB_UNAVAILABLE)
    assert await lost.plan() == plan, "what was planned before goes on"
    await lost.book.close()


async def test_a_secret_opens_a_gated_model_and_its_token_is_in_no_message(setting: Setting, hub: Hub) -> None:
    hub.add(single(MODEL, gated="manual", tokens=frozenset({"hf_right"})))
    await setting.apply(workspace())
    refused = await setting.told(Reason.MODEL_ACCESS_DENIED)
    assert "presetOptions.modelAccessSecret" in refused.message
    await setting.apply(workspace(secret="right", generation=2))
    plan = await setting.plan()
    assert plan.model is not None
    assert plan.model.token_secret == "right"
    assert "gated" not in " ".join(plan.warnings)
    for sequence in range(1, (await setting.bus.js.stream_info(Stream.HISTORY)).state.last_seq + 1):
        message = await setting.bus.js.get_msg(Stream.HISTORY, sequence)
        assert "hf_" not in f"{message.headers} {message.data!r}"


async def test_a_slip_in_a_name_of_the_catalogue_is_told_though_the_hub_is_gone(bus: Bus) -> None:
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC)))
    lost = Setting(bus, "http://127.0.0.1:9")
    await lost.apply(workspace("microsoft/phi-4-mini-instuct"))
    assert "Did you mean microsoft/phi-4-mini-instruct" in (await lost.told(Reason.HUB_UNAVAILABLE)).message
    await lost.book.close()


async def test_the_catalogue_asks_no_hub(setting: Setting, hub: Hub) -> None:
    await setting.apply(workspace("phi-3-mini-4k-instruct"))
    await setting.told(Reason.PLANNED)
    assert hub.seen == []
