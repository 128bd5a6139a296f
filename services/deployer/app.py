"""Wiring of the deployer."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus
from services.chassis.health import Check
from services.chassis.kube import PODS, Deleted, KubeClient, KubeError, ListWatch, Upsert, dig_str
from services.chassis.service import Service, run
from services.chassis.settings import Settings
from services.chassis.settle import Outdated
from services.contracts.messages import PlanState
from services.contracts.subjects import PREFIX, Stream
from services.contracts.workspace import LABEL_WORKSPACE
from services.deployer.deployer import Deployer
from services.deployer.manifests import Images

log = logging.getLogger(__name__)

STALE_AFTER: Final = 90.0
LOOKERS: Final = 8


class DeployerSettings(Settings):
    """Settings of the deployer."""

    inference_image: str = "kaitobus/inference:0.1.0"


async def wire(service: Service) -> None:
    """Add what the deployer does to a service."""
    settings = DeployerSettings()
    kube = await KubeClient.connect()
    service.resources.push_async_callback(kube.close)
    otlp = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None
    deployer = Deployer(kube, service.bus, Images(settings.inference_image), otlp)
    service.bus.handle(PlanState, Stream.PLANS, "deployer-plans", f"{PREFIX}.plan.>", deployer.on_plan)
    watch = ListWatch(kube, PODS, labels=LABEL_WORKSPACE, resync_seconds=settings.resync_seconds)
    looker = Looker(deployer, watch, service.bus)
    service.tasks.append(lambda: looker.run(service.connected))
    service.health.add("watch", watch_check(service, watch))


class Looker:
    """Looks again at each workspace whose pods changed. Keys wait in a set, so a burst is one look."""

    def __init__(self, deployer: Deployer, watch: ListWatch, bus: Bus) -> None:
        self._deployer = deployer
        self._watch = watch
        self._bus = bus
        self._waiting: dict[tuple[str, str], None] = {}
        self._busy: set[tuple[str, str]] = set()
        self._news = asyncio.Condition()

    async def run(self, connected: asyncio.Event) -> None:
        """Follow the pods until cancelled."""
        await connected.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            for _ in range(LOOKERS):
                group.create_task(self._look())

    async def _follow(self) -> None:
        async for change in self._watch.events():
            if isinstance(change, (Upsert, Deleted)):
                workspace = dig_str(change.obj, "metadata", "labels", LABEL_WORKSPACE)
                await self._ask((change.ref.namespace or "", workspace))

    async def _ask(self, key: tuple[str, str]) -> None:
        async with self._news:
            self._waiting[key] = None
            self._news.notify()

    async def _take(self) -> tuple[str, str]:
        """The next workspace that nobody is looking at."""
        async with self._news:
            while True:
                for key in self._waiting:
                    if key not in self._busy:
                        del self._waiting[key]
                        self._busy.add(key)
                        return key
                await self._news.wait()

    async def _look(self) -> None:
        while True:
            key = await self._take()
            try:
                again = await self._looked(key)
            finally:
                self._busy.discard(key)
            if again:
                await asyncio.sleep(again)
                await self._ask(key)
            async with self._news:
                self._news.notify()

    async def _looked(self, key: tuple[str, str]) -> float:
        """Look once. Seconds until it must be tried again; 0 if it need not."""
        try:
            await self._deployer.look(*key)
        except Outdated:
            return 0.05
        except (KubeError, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("will look again: %s", error, extra={"workspace": "/".join(key)})
            return 1.0
        except Exception:
            log.exception("a workspace could not be looked at", extra={"workspace": "/".join(key)})
        return 0


def watch_check(service: Service, watch: ListWatch) -> Check:
    """That the watch on pods is fresh."""

    async def check() -> str | None:
        age = time.monotonic() - watch.last_contact
        service.metrics.watch_age.labels(PODS.plural).set(min(age, 1e9))
        if not watch.synced:
            return f"pods are not listed yet: {watch.last_error or 'no answer so far'}"
        return f"nothing heard of pods for {age:.0f} s" if age > STALE_AFTER else None

    return check


def main() -> None:
    """Run the deployer until it is told to stop."""
    run("deployer", DeployerSettings(), wire)
