"""Machines whose clocks differ: a provider is there while it renews its offers, whatever time it writes into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.bus import Bus
from services.contracts import subjects
from services.contracts.conditions import Reason
from services.contracts.messages import PlanState, Report
from services.contracts.offers import Offers
from services.contracts.subjects import ServiceName
from services.scheduler import scheduler as scheduler_module
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler
from tests.integration.test_scheduler_order import APPLIED, OFFER


async def plans(bus: Bus, off: timedelta) -> PlanState | None:
    """What is planned on the offers of a provider whose clock is off."""
    await bus.offer(Offers(provider="acme", offers=(OFFER,), published_at=datetime.now(UTC) + off))
    await Scheduler(bus, load_catalogue(), load_known_skus()).on_workspace(APPLIED)
    return (await bus.last(PlanState, subjects.plan("default", "w"))).message


@pytest.mark.parametrize("off", [timedelta(minutes=-2), timedelta(), timedelta(hours=1)], ids=str)
async def test_a_provider_that_renews_its_offers_is_there(bus: Bus, off: timedelta) -> None:
    assert await plans(bus, off)


@pytest.mark.parametrize("off", [timedelta(minutes=-2), timedelta(), timedelta(hours=1)], ids=str)
async def test_one_that_has_stopped_is_not(bus: Bus, off: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "LIVE_FOR", 0.0)
    assert await plans(bus, off) is None
    report = (await bus.last(Report, subjects.report(ServiceName.SCHEDULER, "default", "w"))).message
    assert report is not None
    assert report.conditions[0].reason == Reason.WAITING_FOR_PROVIDER
    assert "Provisioners running: none" in report.conditions[0].message


async def test_only_what_was_put_lately_is_read(bus: Bus) -> None:
    old = Offers(provider="acme", offers=(OFFER,), published_at=datetime(2026, 1, 1, tzinfo=UTC))
    await bus.offer(old)
    assert await bus.offers(younger_than=60) == (old,)
    assert await bus.offers(younger_than=0) == ()
    assert await bus.offers() == (old,)
