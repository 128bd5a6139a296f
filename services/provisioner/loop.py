"""The loop that every provider shares: one pass over one demand. It looks, acts once, reports, and comes again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus, Last
from services.chassis.key_locks import KeyLocks
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import KubeError
from services.chassis.settle import Again, Outdated, jittered
from services.contracts.errors import ProviderError
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName, demand, report
from services.provisioner.act import Actor
from services.provisioner.node_facts import facts
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Key, Provider
from services.provisioner.reconcile import STEADY, decide, look_again
from services.provisioner.refusals import Refusals
from services.provisioner.replaced import ready_before
from services.provisioner.report import summarise
from services.provisioner.view import Deadlines, View

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 25.0
"""A pass that takes longer is given up, and begun anew."""
RESTING: Final = 0.75 * STEADY
"""A demand that the bus shows again only after so many seconds is at rest."""
NODES_SETTLE: Final = 0.1
"""Seconds after which a changed node is looked at: Kubernetes writes several times on each one that is new."""
NOT_YET: Final = 0.5
"""Seconds to wait for what must be known before the first pass."""


class Loop:
    """Handles the demands of one provider.

    Two processes of one provider do no harm: names are derived, and to create what exists is to adopt it.
    """

    def __init__(
        self,
        bus: Bus,
        provider: Provider,
        nodes: Nodes,
        offers: OfferPublisher,
        refusals: Refusals,
        deadlines: Deadlines,
    ) -> None:
        self._bus = bus
        self._provider = provider
        self._nodes = nodes
        self._offers = offers
        self._refusals = refusals
        self._deadlines = deadlines
        self._actor = Actor(provider, nodes, refusals)
        self._moved: KeyedQueue[Key] = KeyedQueue()
        nodes.changed = lambda key: self._moved.add(key, after=NODES_SETTLE)
        self._resting: set[Key] = set()
        self.locks = KeyLocks()
        """Held, by namespace and name, while somebody changes a workspace's machines."""

    async def handle(self, wanted: Demand) -> Again | None:
        """One pass. Raises what the API server and the bus raise when they are away: it is tried again then."""
        self._resting.discard(wanted.key)
        again = await self._handle(wanted)
        if again and again.after >= RESTING:
            self._resting.add(wanted.key)
        return again

    async def _handle(self, wanted: Demand) -> Again | None:
        if not (self._nodes.synced and self._offers.asked):
            return Again(NOT_YET)
        async with self.locks.hold(wanted.key), asyncio.timeout(PASS_SECONDS):
            if await self._bus.newest(Demand, wanted.subject) != wanted:
                return None  # a newer one is there, and comes by itself
            last = await self._bus.last(Report, _subject(wanted))
            if _is_overtaken(wanted, last.message):
                log.warning("a demand came late, behind a newer one", extra={"workspace": wanted.key})
                return None
            view = await self._pass(wanted, ready_before(last.message, wanted.uid))
            await self._say(view, last)
        after = look_again(view, _now())
        return None if after is None else Again(jittered(after) if after == STEADY else after)

    async def follow_nodes(self) -> None:
        """Pass at once over a demand whose nodes have changed, until cancelled; so news need not wait for the bus.

        The bus does not know that a demand has become restless that it will not show again for a while. So it is
        looked at from here until it has come to rest.
        """
        await self._moved.work(self._pass_again)

    async def _pass_again(self, workspace: Key) -> float:
        """Returns when to look again (0: not from here). What fails is left to the bus, which shows it again."""
        try:
            newest = await self._bus.newest(Demand, demand(self._provider.name, *workspace))
            again = await self._handle(newest) if newest is not None else None
        except (KubeError, Outdated, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.debug("a change of nodes is looked at later: %r", error, extra={"workspace": workspace})
            return 0
        restless = again is not None and again.after < RESTING and workspace in self._resting
        return again.after if again and restless else 0

    async def _pass(self, wanted: Demand, was_ready: frozenset[str]) -> View:
        try:
            view = replace(await self._look(wanted), was_ready=was_ready)
        except ProviderError as error:
            failure = self._refusals.note(wanted, error, _now())
            return View(wanted, simulated=self._provider.simulated, trouble=failure, blind=True)
        actions = decide(view, _now(), self._deadlines)
        for loss in actions.losses:
            self._refusals.note(wanted, loss.failure, _now())
        lost = {loss.instance.name: loss.failure.message for loss in actions.losses}
        view = await self._actor.act(replace(view, lost=lost), actions)
        if actions.create or actions.delete:
            self._offers.change()
        return replace(view, refusal=self._refusals.of(wanted, _now()))

    async def _look(self, wanted: Demand) -> View:
        """Nodes before machines: then a node that is seen has a machine that is seen, unless it is gone."""
        labelled = [facts(node) for node in self._nodes.of(wanted.key)]
        instances = await self._provider.list(wanted.key)
        known = {node.name for node in labelled}
        names = {i.node_name for i in instances if i.node_name and i.node_name not in known}
        joined = await asyncio.gather(*(self._nodes.read(name) for name in names))
        offer = self._offers.find(wanted.instance_type)
        return View(
            wanted,
            simulated=self._provider.simulated,
            owns_nodes=self._provider.owns_nodes,
            instances=instances,
            nodes=(*labelled, *(node for node in joined if node)),
            gpus=offer.gpus if offer else 0,
            refusal=self._refusals.of(wanted, _now()),
        )

    async def _say(self, view: View, last: Last[Report]) -> None:
        """Report, unless the last report says the same already. Raises `Outdated` if somebody else has reported."""
        said = summarise(view, _now(), self._deadlines, last.message)
        if said != last.message:
            await self._bus.publish(said, expect=last.sequence)


def _subject(wanted: Demand) -> str:
    return report(ServiceName.PROVISIONER, wanted.namespace, wanted.name, wanted.provider)


def _is_overtaken(wanted: Demand, last: Report | None) -> bool:
    """Whether a newer demand of the same workspace has been reported on already."""
    if last is None or last.uid != wanted.uid:
        return False
    return (wanted.generation, wanted.plan_revision) < (last.generation, last.plan_revision)


def _now() -> datetime:
    return datetime.now(UTC)
