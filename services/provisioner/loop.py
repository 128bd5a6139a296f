"""The loop that every provider shares: one pass over one demand. It looks, acts once, reports, and comes again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import KubeError
from services.chassis.settle import Again, Outdated, jittered
from services.contracts.errors import ProviderError
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName, demand, report
from services.provisioner.act import Actor
from services.provisioner.locks import KeyLocks
from services.provisioner.node_facts import facts
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Key, Provider
from services.provisioner.reconcile import STEADY, decide, look_again
from services.provisioner.refusals import Refusals
from services.provisioner.report import summarise
from services.provisioner.view import Deadlines, View

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 25.0
"""A pass that takes longer is given up, and begun anew."""
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
        nodes.changed = self._moved.add
        self.locks = KeyLocks()
        """Held, by namespace and name, while somebody changes a workspace's machines."""

    async def handle(self, wanted: Demand) -> Again | None:
        """One pass. Raises what the API server and the bus raise when they are away: it is tried again then."""
        if not (self._nodes.synced and self._offers.asked):
            return Again(NOT_YET)
        async with self.locks.hold(wanted.key), asyncio.timeout(PASS_SECONDS):
            if await self._bus.newest(Demand, wanted.subject) != wanted:
                return None  # a newer one is there, and comes by itself
            view = await self._pass(wanted)
            await self._say(view)
        after = look_again(view, _now())
        return None if after is None else Again(jittered(after) if after == STEADY else after)

    async def follow_nodes(self) -> None:
        """Pass at once over a demand whose nodes have changed, until cancelled; so news need not wait for the bus."""
        await self._moved.work(self._pass_again)

    async def _pass_again(self, workspace: Key) -> float:
        """What fails here is not tried again: the demand itself comes again from the bus."""
        try:
            newest = await self._bus.newest(Demand, demand(self._provider.name, *workspace))
            if newest is not None:
                await self.handle(newest)
        except (KubeError, Outdated, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.debug("a change of nodes is looked at later: %r", error, extra={"workspace": workspace})
        return 0

    async def _pass(self, wanted: Demand) -> View:
        try:
            view = await self._look(wanted)
        except ProviderError as error:
            failure = self._refusals.note(wanted, error, _now())
            return View(wanted, simulated=self._provider.simulated, trouble=failure, blind=True)
        actions = decide(view, _now(), self._deadlines)
        for loss in actions.losses:
            self._refusals.note(wanted, loss.failure, _now())
        view = await self._actor.act(view, actions)
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

    async def _say(self, view: View) -> None:
        """Report, unless the last report says the same already."""
        subject = report(ServiceName.PROVISIONER, view.demand.namespace, view.demand.name, view.demand.provider)
        last = await self._bus.last(Report, subject)
        said = summarise(view, _now(), self._deadlines, last.message)
        if said != last.message:
            await self._bus.publish(said, expect=last.sequence)


def _now() -> datetime:
    return datetime.now(UTC)
