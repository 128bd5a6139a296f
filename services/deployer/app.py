"""Wiring of the deployer."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import Final, Literal

import nats.errors
from nats.js.errors import Error as JetStreamError
from pydantic import Field

from services.chassis.health import Check
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import (
    CONFIGMAPS,
    JOBS,
    PODS,
    SERVICES,
    STATEFULSETS,
    Deleted,
    Key,
    KubeClient,
    KubeError,
    Lease,
    ListWatch,
    Resource,
    Upsert,
    dig_str,
)
from services.chassis.service import Service, run
from services.chassis.settings import Settings, from_environment
from services.chassis.settle import Again, Outdated
from services.contracts.messages import PlanState
from services.contracts.subjects import PREFIX, Stream
from services.contracts.workspace import LABEL_WORKSPACE
from services.deployer.deployer import Applied, Deployer
from services.deployer.engine_memory import EngineMemories
from services.deployer.leftovers import Sight
from services.deployer.manifests import Images
from services.deployer.tuning import TuningJobs
from services.deployer.turns import Turns
from services.deployer.weights import WeightsSettings

log = logging.getLogger(__name__)

STALE_AFTER: Final = 90.0
LOOKERS: Final = 8
SETTLES: Final = 0.2
"""Seconds after which a workspace is looked at of which something changed: mostly more changes follow at once."""
DEPLOYING: Final = 512
"""Plans that are carried out side by side. Each waits for the API server most of the time, and after its workload is
made for its turn to get Services, which are made slowly. In a burst of more plans than places the workloads of the rest
wait for the Services of the first."""


class DeployerSettings(Settings):
    """Settings of the deployer."""

    inference_image: str = "kaitobus/inference:0.1.0"
    local_ports: bool = False
    """True on one machine without a pod network: pods answer on ports of 127.0.0.1 that the node agent tells."""
    model_cache: str | None = None
    """A folder of each node where its pods keep what they pull from registries. It is never emptied."""
    compile_cache: str | None = None
    """A folder of each node where engines keep what they compile, each Workspace apart. It is never emptied."""
    image_volumes: Literal["auto", "always", "never"] = "auto"
    """Whether images with models are mounted as volumes; auto: where the cluster has that switched on."""

    benchmark: Literal["idle", "off"] = "idle"
    """When servers are measured whose Workspace does not say: once nobody uses them, or not at all."""

    rollout_at_once: int = Field(default=1, ge=1)
    """Servers that start anew side by side because a newer deployer renders them in another way."""
    lease_namespace: str = "default"
    lease_name: str = "kaitobus-deployer"
    """Of several deployers, the holder of this Lease says whose turn that is."""

    url_networks: str = ""
    """Networks, as CIDRs with commas, from which pods may fetch adapters by URL, besides the public internet."""
    url_plain_http: bool = False
    """Whether URLs of adapters may be plain http."""

    @property
    def urls(self) -> dict[str, str]:
        """The same for the pods."""
        plain = {"KAITOBUS_URL_PLAIN_HTTP": "true"} if self.url_plain_http else {}
        return plain | ({"KAITOBUS_URL_NETWORKS": self.url_networks} if self.url_networks else {})

    @property
    def weights(self) -> WeightsSettings:
        """How models' files get into pods."""
        wanted = {"auto": None, "always": True, "never": False}[self.image_volumes]
        return WeightsSettings(cache=self.model_cache, image_volumes=wanted)


async def wire(service: Service) -> None:
    """Add what the deployer does to a service."""
    settings = DeployerSettings()
    kube = await KubeClient.connect()
    service.resources.push_async_callback(kube.close)
    otlp = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None
    hub = os.environ.get("HF_ENDPOINT") or None
    images = Images(settings.inference_image, hub, settings.weights, settings.urls, settings.compile_cache)
    memories = EngineMemories(service.metrics.registry, local=settings.local_ports)
    watches = {
        resource: ListWatch(kube, resource, labels=LABEL_WORKSPACE, resync_seconds=settings.resync_seconds)
        for resource in (PODS, STATEFULSETS, JOBS, SERVICES, CONFIGMAPS)
    }

    def sight() -> Sight:
        return {resource: watch.objects for resource, watch in watches.items() if watch.synced}

    jobs = TuningJobs(kube, local=settings.local_ports)
    lease = Lease(kube, settings.lease_name, settings.lease_namespace)
    turns = Turns(lease, lambda: sight().get(STATEFULSETS), settings.rollout_at_once)
    deployer = Deployer(
        kube,
        service.bus,
        images,
        otlp,
        memories,
        sight,
        jobs,
        turns,
        local=settings.local_ports,
        benchmark=settings.benchmark,
    )
    service.bus.handle(
        PlanState, Stream.PLANS, "deployer-plans", f"{PREFIX}.plan.>", deployer.on_plan, workers=DEPLOYING
    )
    looker = Looker(deployer, watches)
    service.tasks.append(lambda: looker.run(service.connected))
    service.tasks.append(lambda: turns.run(looker.hurry))
    for resource, watch in watches.items():
        service.health.add(f"watch {resource.plural}", watch_check(service, resource, watch))


class Looker:
    """Looks again at each workspace whose objects changed. Keys wait in a queue, so a burst is one look."""

    def __init__(self, deployer: Deployer, watches: Mapping[Resource, ListWatch]) -> None:
        self._deployer = deployer
        self._watches = watches
        self._queue: KeyedQueue[Key] = KeyedQueue()
        self._broken: set[Key] = set()
        """Workspaces of whose objects one has gone: what is missing is made again."""

    def hurry(self, key: Key) -> None:
        """Have a workspace looked at now."""
        self._queue.add(key)

    def lost(self, key: Key) -> None:
        """One of a workspace's objects has gone."""
        self._broken.add(key)

    async def run(self, connected: asyncio.Event) -> None:
        """Follow all of the objects until cancelled."""
        await connected.wait()
        async with asyncio.TaskGroup() as group:
            for resource, watch in self._watches.items():
                group.create_task(self._follow(resource, watch))
            for _ in range(LOOKERS):
                group.create_task(self._queue.work(self._look))

    async def _follow(self, resource: Resource, watch: ListWatch) -> None:
        async for change in watch.events():
            gone = isinstance(change, Deleted) and resource != PODS  # missing pods are the StatefulSet's business
            if isinstance(change, Deleted) or (isinstance(change, Upsert) and resource in (PODS, JOBS)):
                key = (change.ref.namespace or "", dig_str(change.obj, "metadata", "labels", LABEL_WORKSPACE))
                if gone:
                    self.lost(key)
                self._queue.add(key, after=SETTLES)

    async def _look(self, key: Key) -> float:
        """Look once. Seconds until it must be looked at again; 0 if it need not.

        What was missing is made again in that look too, unless it is there now.
        """
        mend = key in self._broken
        self._broken.discard(key)
        again = await self._looked(key, mend)
        if again and mend and not isinstance(again, Applied):
            self._broken.add(key)
        return again.after if again else 0

    async def _looked(self, key: Key, mend: bool) -> Again | None:
        try:
            return await self._deployer.look(*key, mend=mend)
        except Outdated:
            return Again(0.05)
        except (KubeError, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("will look again: %s", error, extra={"workspace": "/".join(key)})
            return Again(1.0)
        except Exception:
            log.exception("a workspace could not be looked at", extra={"workspace": "/".join(key)})
            return Again(30.0)


def watch_check(service: Service, resource: Resource, watch: ListWatch) -> Check:
    """That the watch on a resource is fresh."""

    async def check() -> str | None:
        age = time.monotonic() - watch.last_contact
        service.metrics.watch_age.labels(resource.plural).set(min(age, 1e9))
        if not watch.synced:
            return f"{resource.plural} are not listed yet: {watch.last_error or 'no answer so far'}"
        return f"nothing heard of {resource.plural} for {age:.0f} s" if age > STALE_AFTER else None

    return check


def main() -> None:
    """Run the deployer until it is told to stop."""
    run("deployer", from_environment(DeployerSettings), wire)
