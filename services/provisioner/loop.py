"""The loop that every provider shares: one pass over one demand. It looks, acts once, reports, and comes again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus, Last
from services.chassis.cancellation import raise_if_cancelled
from services.chassis.key_locks import KeyLocks
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import KubeError
from services.chassis.logs import about
from services.chassis.settle import Again, Outdated, jittered
from services.contracts.errors import ProviderError
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName, demand, report
from services.provisioner.act import Actor
from services.provisioner.first_seen import FirstSeen
from services.provisioner.node_facts import facts
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.polling import Polling
from services.provisioner.provider import Deadlines, Key, Provider
from services.provisioner.reconcile import STEADY, UNTOLD, decide, is_met, look_again, pace
from services.provisioner.refusals import Refusals
from services.provisioner.replaced import ready_before
from services.provisioner.report import summarise
from services.provisioner.view import View

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 25.0
"""A pass that takes longer is given up, and begun anew."""
NODES_SETTLE: Final = 0.1
"""Seconds after which a changed node is looked at: Kubernetes writes several times on each one that is new."""
NOT_YET: Final = 0.5
"""Seconds to wait for what must be known before the first pass."""
RETRY: Final = 1.0
"""Seconds until a change is looked at again that could not be looked at, the API server or the bus being away."""


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
        polling: Polling | None = None,
    ) -> None:
        """`polling` is told what is waited for; a provider that watches its cloud itself needs none."""
        self._bus = bus
        self._provider = provider
        self._nodes = nodes
        self._offers = offers
        self._refusals = refusals
        self._deadlines = deadlines
        self._actor = Actor(provider, nodes, refusals)
        self._moved: KeyedQueue[Key] = KeyedQueue()
        nodes.changed = lambda key: self._moved.add(key, after=NODES_SETTLE)
        self._polling = polling
        self._seen = FirstSeen()
        self._shown: dict[Key, float] = {}
        """When the bus shows a demand again, by the event loop's clock."""
        self.locks = KeyLocks()
        """Held, by namespace and name, while somebody changes a workspace's machines."""

    def look(self, workspace: Key) -> None:
        """Look at a workspace now: its machines are not as they were."""
        self._moved.add(workspace)

    async def handle(self, wanted: Demand) -> Again | None:
        """One pass. Raises what the API server and the bus raise when they are away: it is tried again then."""
        self._shown.pop(wanted.key, None)
        again = await self._handle(wanted.key, wanted)
        if again:
            self._shown[wanted.key] = _clock() + again.after
        return again

    async def _handle(self, workspace: Key, wanted: Demand | None = None) -> Again | None:
        """A pass over the newest demand of a workspace, if that is the `wanted` one."""
        if not (self._nodes.synced and self._offers.asked):
            return Again(NOT_YET)
        async with self.locks.hold(workspace), asyncio.timeout(PASS_SECONDS):
            newest = await self._bus.newest(Demand, demand(self._provider.name, *workspace))
            if newest is None or wanted not in (None, newest):
                self._rest(workspace)
                return None  # a newer one is there, and comes by itself
            about(newest)
            last = await self._bus.last(Report, _subject(newest))
            if _is_overtaken(newest, last.message):
                log.warning("a demand came late, behind a newer one", extra={"workspace": workspace})
                return None
            view = await self._pass(newest, ready_before(last.message, newest.uid))
            await self._say(view, last)
        return self._again(view)

    def _again(self, view: View) -> Again | None:
        """When to come again, and what to be called for before that."""
        now = _now()
        after = look_again(view, now, self._deadlines)
        if after is None or is_met(view):
            self._rest(view.demand.key)
        elif self._polling:
            self._polling.wait(view.demand.key, view.instances, pace(view, now))
        return None if after is None else Again(jittered(after) if after in (STEADY, UNTOLD) else after)

    def _rest(self, workspace: Key) -> None:
        if self._polling:
            self._polling.rest(workspace)

    async def look_at_all(self, connected: asyncio.Event) -> None:
        """Look at every demand once, at the start: the bus shows those at rest only when their pause is over."""
        await connected.wait()
        prefix = demand(self._provider.name, "", "").rstrip(".")
        while True:
            raise_if_cancelled()
            try:
                subjects = await self._bus.subjects(Demand)
            except (JetStreamError, nats.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(RETRY)
                continue
            for subject in (s for s in subjects if s.startswith(f"{prefix}.")):
                _, namespace, name = subject.rsplit(".", 2)
                self.look((namespace, name))
            return

    async def follow(self) -> None:
        """Pass at once over a demand whose nodes or machines have changed, until cancelled; news need not wait.

        The bus does not know that a demand is to be looked at again before the time it was given back for. So it is
        looked at from here until then.
        """
        await self._moved.work(self._pass_again)

    async def _pass_again(self, workspace: Key) -> float:
        """Returns when to look again (0: never, or the bus shows it earlier)."""
        try:
            again = await self._handle(workspace)
        except (KubeError, Outdated, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.debug("a change is looked at later: %r", error, extra={"workspace": workspace})
            return jittered(RETRY)
        if again is None or self._shown.get(workspace, inf) <= _clock() + again.after:
            return 0
        return again.after

    async def _pass(self, wanted: Demand, was_ready: frozenset[str]) -> View:
        try:
            view = self._by_own_clock(replace(await self._look(wanted), was_ready=was_ready))
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
        return self._by_own_clock(replace(view, refusal=self._refusals.of(wanted, _now())))

    def _by_own_clock(self, view: View) -> View:
        return replace(view, own_clock=self._seen.note(view, _now()))

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


def _clock() -> float:
    return asyncio.get_running_loop().time()
