"""Plays the scenarios one after the other, and lets go of everything after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from services.cli.conformance.case import Case
from services.cli.conformance.heard import Heard
from services.cli.conformance.outcome import Breach, NotAsked, Outcome, Result
from services.cli.conformance.rules import Rule
from services.cli.conformance.scenarios import Scenario
from services.cli.conformance.setting import Setting
from services.cli.conformance.wire import Wire
from services.contracts.offers import Offer, Offers

OFFERED: Final = 60.0
"""Seconds in which the provisioner must have made itself known."""


CLEAN_UP: Final = 60.0
"""Seconds that nodes have to go after a breach, before the next scenario begins."""


class NotThere(Exception):
    """No provisioner of that name has made itself known; the message says what is missing."""


class Suite:
    """One run against one provisioner. Raises what nats-py raises."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._cases: dict[str, Case] = {}

    async def run(self, scenarios: Sequence[Scenario]) -> AsyncIterator[Result]:
        """Play them; each result is given as soon as it is known."""
        async with self._setting.wire.hearing(self._hear):
            for scenario in scenarios:
                yield await self._result(scenario)

    def _hear(self, heard: Heard) -> None:
        if case := self._cases.get(heard.subject.rpartition(".")[2]):
            case.hear(heard)

    async def _result(self, scenario: Scenario) -> Result:
        began = time.monotonic()

        def result(outcome: Outcome, rule: Rule | None = None, detail: str = "") -> Result:
            seconds = round(time.monotonic() - began, 2)
            return Result(scenario=scenario.name, outcome=outcome, seconds=seconds, rule=rule, detail=detail)

        try:
            await self._play(scenario)
        except NotAsked as reason:
            return result(Outcome.NOT_ASKED, detail=str(reason))
        except Breach as breach:
            return result(Outcome.FAILED, breach.rule, breach.seen)
        return result(Outcome.PASSED)

    async def _play(self, scenario: Scenario) -> None:
        setting = self._setting
        if reason := why_not(scenario, setting):
            raise NotAsked(reason)
        fault = setting.faults.get(scenario.fault) if scenario.fault else None
        case = Case(setting.wire, scenario.name, setting.size, setting.patience, fault)
        self._cases[case.name] = case
        try:
            await scenario.play(case, setting)
            await case.end_fault()
            if case.is_held:
                await case.let_go()
        except Breach:
            await self._clean_up(case)
            raise
        finally:
            del self._cases[case.name]
            if case.last is None or case.last.released:
                await setting.wire.forget(*case.key, setting.wire.provider)

    async def _clean_up(self, case: Case) -> None:
        """Nothing stays behind, however the scenario ended; what is breached on the way is told no more."""
        await case.end_fault()
        case.forgive()
        if case.is_held:
            with suppress(Breach):
                await case.let_go(min(CLEAN_UP, self._setting.patience))


def why_not(scenario: Scenario, setting: Setting) -> str | None:
    """What is missing to play it; None if nothing is."""
    if scenario.nodes > setting.nodes:
        return f"it takes {scenario.nodes} nodes, and only {setting.nodes} can be had"
    if scenario.restarts and setting.restart is None:
        return "nobody can restart the provisioner: give --restart-command"
    if scenario.fault and scenario.fault not in setting.faults:
        return f"nothing is known of how to bring it about: give --faults with an entry {scenario.fault}"
    return setting.faults[scenario.fault].cannot if scenario.fault else None


async def until_offered(wire: Wire, seconds: float = OFFERED) -> Offers:
    """Wait until the provisioner offers and has its consumer. Raises `NotThere`."""
    end = time.monotonic() + seconds
    while True:
        body = await wire.offers()
        if body and await wire.has_consumer():
            try:
                return Offers.model_validate_json(body)
            except ValueError as error:
                raise NotThere(f"the offers of {wire.provider} cannot be read: {error}") from error
        if time.monotonic() > end:
            missing = "its demands have no consumer" if body else f"OFFERS has nothing under the key {wire.provider}"
            raise NotThere(f"no provisioner of {wire.provider} has made itself known within {seconds:g} s: {missing}")
        await asyncio.sleep(0.2)


def cheapest(offers: Offers) -> Offer | None:
    """The size that costs least of those that can be had now; sizes without a price come last."""
    found = [o for o in offers.offers if o.runnable and o.available != 0 and o.retired is None]
    return min(found, key=lambda o: o.price_per_hour if o.price_per_hour is not None else float("inf"), default=None)


async def let_go_of_earlier(wire: Wire) -> int:
    """Demand 0 for whatever an earlier run left behind; returns for how many workspaces."""
    left = await wire.left_behind()
    for wanted in left:
        await wire.demand(wanted.model_copy(update={"nodes": 0, "plan_revision": wanted.plan_revision + 1}))
    return len(left)
