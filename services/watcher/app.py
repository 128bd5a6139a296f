"""Wiring of the watcher.

The holder of the Lease owns the topology of the bus and publishes Workspaces; every replica writes statuses.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError
from pydantic import Field

from services.chassis.coalesce import Coalesce
from services.chassis.health import Check
from services.chassis.kube import WORKSPACES, EventRecorder, KubeClient, Lease, ListWatch, Terms
from services.chassis.lull import Lull
from services.chassis.newcomers import Newcomers
from services.chassis.service import Service, run
from services.chassis.settings import Settings, from_environment
from services.chassis.topology import Topology
from services.contracts.messages import Message, Report
from services.contracts.subjects import PREFIX, Stream
from services.watcher.arrivals import Arrivals
from services.watcher.publisher import Publisher
from services.watcher.writer import Writer, identity, is_release

log = logging.getLogger(__name__)

TOPOLOGY_EVERY: Final = 2.0
STATUS_PAUSE: Final = 0.25
"""Seconds in which what is said of a workspace is gathered into one status."""
STATUS_AT_ONCE: Final = 4
"""Statuses that are written side by side: in a burst, they must not keep the API server from the workloads."""
QUIET: Final = 0.6
WAIT_FOR_QUIET: Final = 2.0
"""Of several Workspaces that come at once none is held until so many seconds have passed without another, but no longer
than that: all get their workloads first. To hold one costs the API server as much as a workload, and then machines are
asked for, and a status is written, which costs three times that."""
WAITING_FOR_STATUS: Final = 128
STALE_AFTER: Final = 90.0
"""Seconds after which a silent watch counts as broken; the API server sends bookmarks about every 60 s."""


class WatcherSettings(Settings):
    """Settings of the watcher."""

    lease_namespace: str = "default"
    lease_name: str = "kaitobus-watcher"
    lease_seconds: int = Field(default=15, ge=3)
    """A watcher that was killed is replaced after so long. Shorter means more writes to the API server."""
    topology_managed: bool = True
    """False where someone else makes the streams and consumers, by the same declaration."""


async def wire(service: Service) -> None:
    """Add what the watcher does to a service."""
    settings = WatcherSettings()
    kube = await KubeClient.connect()
    service.resources.push_async_callback(kube.close)
    events = EventRecorder(kube, component="kaitobus-watcher")
    watch = ListWatch(kube, WORKSPACES, resync_seconds=settings.resync_seconds)
    writer = Writer(kube, service.bus, events, service.telemetry, lambda key: watch.objects.get(key))
    arrivals = Arrivals(Lull(quiet=QUIET, at_most=WAIT_FOR_QUIET))
    publisher = Publisher(kube, service.bus, writer, watch, arrivals)
    lease = Lease(kube, settings.lease_name, settings.lease_namespace, terms=Terms.lasting(settings.lease_seconds))
    leader = Leader(service, settings, publisher, lease)

    looks: Coalesce[Message] = Coalesce(writer.on_message, pause=STATUS_PAUSE, at_once=STATUS_AT_ONCE)

    async def on_report(report: Report) -> None:
        await looks.ask(report if is_release(report) else identity(report))

    service.bus.handle(
        Report, Stream.REPORTS, "watcher-reports", f"{PREFIX}.report.>", on_report, workers=WAITING_FOR_STATUS
    )
    service.tasks.append(leader.run)
    service.health.add("watch", watch_check(service, leader, watch, kube))


class Leader:
    """What only the holder of the Lease does."""

    def __init__(self, service: Service, settings: WatcherSettings, publisher: Publisher, lease: Lease) -> None:
        self._service = service
        self._settings = settings
        self._publisher = publisher
        self._lease = lease

    @property
    def leads(self) -> bool:
        """Whether this process holds the Lease."""
        return self._lease.held

    async def run(self) -> None:
        """Wait for the Lease and do the work while it is held, for ever."""
        while True:
            await self._lease.hold(self._lead)

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publisher.run())
            if self._settings.topology_managed:
                group.create_task(self._own_topology())

    async def _own_topology(self) -> None:
        """Make and mend streams and consumers, for who offers for the first time at once."""
        await self._service.connected.wait()
        async with Newcomers.heard(self._service.bus.client) as newcomers:
            while True:
                await self._mend_topology()
                await newcomers.wait(TOPOLOGY_EVERY)

    async def _mend_topology(self) -> None:
        """When a stream had to be made, publish everything again."""
        try:
            topology = Topology(self._service.bus.js, self._service.metrics, self._settings.nats_replicas)
            if await topology.ensure():
                self._publisher.publish_all_again()
        except (JetStreamError, nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("the bus cannot be looked after now: %s", str(error) or repr(error))


def watch_check(service: Service, leader: Leader, watch: ListWatch, kube: KubeClient) -> Check:
    """That the leader's watch is fresh, and that a standby reaches the API server."""

    async def check() -> str | None:
        if not leader.leads:
            return None if await kube.healthy() else "the API server does not answer"
        age = time.monotonic() - watch.last_contact
        service.metrics.watch_age.labels(WORKSPACES.plural).set(min(age, 1e9))
        if not watch.synced:
            return f"Workspaces are not listed yet: {watch.last_error or 'no answer so far'}"
        return f"nothing heard of Workspaces for {age:.0f} s" if age > STALE_AFTER else None

    return check


def main() -> None:
    """Run the watcher until it is told to stop."""
    run("watcher", from_environment(WatcherSettings), wire)
