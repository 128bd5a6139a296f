"""The shell around the decisions: reads what they need from the bus, publishes what they decide.

Every pass starts from what is there now, so it may be repeated, and two processes may do it at once: of two
plans for one workspace the second is refused by the server, and its author reads again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from services.chassis.bus import Bus, Last
from services.chassis.key_locks import KeyLocks
from services.chassis.settle import Again, Outdated
from services.contracts import subjects
from services.contracts.conditions import Condition
from services.contracts.messages import Demand, Message, PlanState, Report, WorkspaceState
from services.contracts.offers import Offers
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.scheduler.catalog import Catalogue
from services.scheduler.decide import Decision, decide, spent, stands
from services.scheduler.demands import demands_for
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.ask import ask_for, hinted
from services.scheduler.hub.book import FactsBook
from services.scheduler.known_skus import KnownSkus
from services.scheduler.refusal import Refusal
from services.scheduler.release import Release, release

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

GOING_AGAIN: Final = 5.0
"""Seconds until it is looked whether all has been let go of, if no report tells it."""
OFFERS_FOR: Final = 1.0
"""Seconds for which a reading of the offers serves all workspaces."""
LIVE_FOR: Final = 90.0
"""A provider that has not renewed its offers for so many seconds is not there."""


class OfferBook:
    """The offers of all providers that are there, read at most once a second however many workspaces ask."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._offers: tuple[Offers, ...] = ()

    async def read(self) -> tuple[Offers, ...]:
        """The offers."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._read_at > OFFERS_FOR:
                self._offers = await self._bus.offers(younger_than=LIVE_FOR)
                self._read_at = now
            return self._offers


class Scheduler:
    """Plans one workspace at a time; several side by side for different workspaces."""

    def __init__(self, bus: Bus, catalogue: Catalogue, known: KnownSkus, book: FactsBook | None = None) -> None:
        self._bus = bus
        self._book = book
        self._catalogue = catalogue
        self._known = known
        self._offers = OfferBook(bus)
        self._locks = KeyLocks()

    async def on_workspace(self, state: WorkspaceState) -> Again | None:
        """What a user wants has changed, or is looked at again."""
        return await self._alone(state)

    async def on_report(self, report: Report) -> Again | None:
        """The deployer or a provisioner reports: an offer may have failed, or something may have been let go."""
        if report.service is ServiceName.SCHEDULER or not (report.failure or report.released):
            return None
        state = (await self._bus.last(WorkspaceState, subjects.workspace(report.namespace, report.name))).message
        if state is None or state.uid != report.uid:
            return None
        return await self._alone(state)

    async def _alone(self, state: WorkspaceState) -> Again | None:
        """One pass at a time for a workspace. One that was deleted in between must not be planned any more."""
        async with self._locks.hold(state.key):
            newest = await self._newest(state)
            return None if _is_overtaken(state, newest) else await self._pass(_held_since(state, newest))

    async def _newest(self, state: WorkspaceState) -> WorkspaceState:
        """What was said last under the name of a workspace: of itself, or of a namesake."""
        return (await self._bus.last(WorkspaceState, state.subject)).message or state

    async def _overtaken_by(self, state: WorkspaceState) -> WorkspaceState | None:
        """What the workspace has become, if it has been deleted since, or is another of the same name by now."""
        newest = await self._newest(state)
        return newest if _is_overtaken(state, newest) else None

    async def _pass(self, state: WorkspaceState) -> Again | None:
        last = await self._bus.last(PlanState, subjects.plan(state.namespace, state.name))
        plan = _newest_plan(state, last.message)
        reports = await self._reports(state, plan)
        if state.deleting:
            return await self._release(state, last, release(state, plan, reports))
        offers = await self._offers.read()
        hub = self._ask_hub(state, plan, reports)
        decision = decide(state, plan, offers, self._catalogue, self._known, reports, datetime.now(UTC), hub)
        return await self._carry_out(state, last, decision)

    def _ask_hub(
        self, state: WorkspaceState, plan: Plan | None, reports: Sequence[Report]
    ) -> ModelFacts | Refusal | None:
        """What the hub knows of a model that is not in the catalogue; not asked where the plan stands and works."""
        if self._book is None or (stands(state, plan, reports) and spent(plan, reports) is None):
            return None
        ask = ask_for(state, plan, self._catalogue)
        return hinted(self._book.look(ask), self._catalogue, ask.model) if ask else None

    async def _reports(self, state: WorkspaceState, plan: Plan | None) -> list[Report]:
        """The newest reports of the deployer and of every provider that was ever asked."""
        if plan is None:
            return []  # nobody was asked for anything yet
        where = (state.namespace, state.name)
        names = [subjects.report(ServiceName.DEPLOYER, *where)]
        names += [subjects.report(ServiceName.PROVISIONER, *where, provider) for provider in plan.providers]
        found = await asyncio.gather(*(self._bus.newest(Report, name) for name in names))
        return [report for report in found if report and report.uid == state.uid]

    async def _carry_out(self, state: WorkspaceState, last: Last[PlanState], decision: Decision) -> Again | None:
        plan = decision.plan
        if plan is None and (left := _left_plan(state, last.message)):
            await self._publish_end(state, left, last)
        published = plan is not None and await self._publish_plan(_plan_state(state, plan), last)
        # Another process may have found no plan in the meantime, and told that nothing is left.
        if published and (newest := await self._overtaken_by(state)):
            return await self._pass(newest)
        if decision.condition.is_true and not state.held:
            return None  # it comes again when it is held, and then this is told with what it demands
        for demand in demands_for(state, plan) if plan else ():
            await self._demand(state, demand)
        await self._report(state, plan, decision.condition, decision.next_step)
        return Again(decision.again) if decision.again else None

    async def _publish_plan(self, wanted: PlanState, last: Last[PlanState]) -> bool:
        """Publish a plan that is new. True if it was. Raises `Outdated` if somebody published one in between."""
        if last.message == wanted:
            return False
        await self._bus.publish(wanted, expect=last.sequence)
        return True

    async def _demand(self, state: WorkspaceState, wanted: Demand) -> None:
        """Publish a demand that is new.

        A provider that is to let go is told so even if it was never asked: a pass with an older plan may be about to
        ask it, and finds this word first. Raises `Outdated` where a newer plan or a namesake has demanded already, or
        all was let go of: this pass began with an older one.
        """
        if await self._bus.publish_first(wanted):
            return
        last = await self._bus.last(Demand, wanted.subject)
        theirs = _is_namesakes(state, last.message)
        known = None if theirs else last.message
        if known is not None and _age(known) > _age(wanted):
            raise Outdated(wanted.subject)
        let_go = known is not None and known.nodes == 0 < wanted.nodes
        if (theirs or let_go) and await self._overtaken_by(state):
            raise Outdated(wanted.subject)
        if known != wanted:
            await self._bus.publish(wanted, expect=last.sequence)

    async def _release(self, state: WorkspaceState, last: Last[PlanState], step: Release) -> Again | None:
        if plan := step.plan or _left_plan(state, last.message):
            await self._publish_end(state, plan, last)
        for demand in step.demands:
            await self._publish_end(state, demand, await self._bus.last(Demand, demand.subject))
        if step.done:
            # With the plan's revision: it may have been told before there was that plan, and the watcher forgot that.
            report = _report(state, step.plan.plan if step.plan else None, (), None, released=True)
            await self._publish_end(state, report, await self._bus.last(Report, report.subject))
            return None
        return Again(GOING_AGAIN)

    async def _publish_end(self, state: WorkspaceState, end: M, last: Last[M]) -> None:
        """Publish that something ends. Raises `Outdated` where the last word is a namesake's that came meanwhile."""
        if last.message == end:
            return
        if _is_namesakes(state, last.message) and await self._overtaken_by(state):
            raise Outdated(end.subject)
        await self._bus.publish(end, expect=last.sequence)

    async def _report(
        self, state: WorkspaceState, plan: Plan | None, condition: Condition, next_step: str | None
    ) -> None:
        """Publish what was decided, but not over a namesake's word, nor over the word that all was let go of: neither
        would be said again.
        """
        wanted = _report(state, plan, (condition,), next_step)
        if await self._bus.publish_first(wanted):
            return
        last = await self._bus.last(Report, wanted.subject)
        theirs, let_go = _is_namesakes(state, last.message), last.message is not None and last.message.released
        if (theirs or let_go) and await self._overtaken_by(state):
            return
        if last.message != wanted:
            await self._bus.publish(wanted, expect=last.sequence)


def _is_overtaken(state: WorkspaceState, newest: WorkspaceState) -> bool:
    """Whether it has been deleted since, or is another workspace by now."""
    return newest.uid != state.uid or (newest.deleting and not state.deleting)


def _is_namesakes(state: WorkspaceState, word: Message | None) -> bool:
    """Whether it was said of another workspace of that name."""
    return word is not None and word.uid != state.uid


def _held_since(state: WorkspaceState, newest: WorkspaceState) -> WorkspaceState:
    """The newest where the workspace was told to be held after the state was. Else the state: what answers for the
    newest may be a replica that is behind.
    """
    return newest if newest.held and not (state.held or state.deleting) else state


def _age(demand: Demand) -> tuple[int, int]:
    """Larger for a demand that was decided later."""
    return (demand.generation, demand.plan_revision)


def _newest_plan(state: WorkspaceState, published: PlanState | None) -> Plan | None:
    """The plan to go on from: that of the status, or the one on the bus if it is of this workspace and newer."""
    known = [state.plan] if state.plan else []
    if published is not None and published.uid == state.uid:
        known.append(published.plan)
    return max(known, key=lambda plan: plan.revision, default=None)


def _left_plan(state: WorkspaceState, published: PlanState | None) -> PlanState | None:
    """The end of a plan that still stands for an earlier workspace of that name: it went unseen, by force or unheld."""
    if published is None or published.uid == state.uid or published.retired:
        return None
    return published.model_copy(update={"retired": True})


def _plan_state(state: WorkspaceState, plan: Plan) -> PlanState:
    return PlanState(namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation, plan=plan)


def _report(
    state: WorkspaceState,
    plan: Plan | None,
    conditions: tuple[Condition, ...],
    next_step: str | None,
    *,
    released: bool = False,
) -> Report:
    return Report(
        namespace=state.namespace,
        name=state.name,
        uid=state.uid,
        generation=state.generation,
        plan_revision=plan.revision if plan else 0,
        service=ServiceName.SCHEDULER,
        conditions=conditions,
        next_step=next_step,
        released=released,
    )
