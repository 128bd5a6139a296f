"""Brings one pod to what its object says, and reports what it is."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from deploy.local.node.container_state import start_at
from deploy.local.node.container_worker import ContainerWorker
from deploy.local.node.context import NodeContext, pod_ref
from deploy.local.node.launch import container_mounts
from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container
from deploy.local.node.pod_status import (
    Records,
    containers_ready,
    initialized,
    is_done,
    phase,
    pod_status,
    same_status,
)
from deploy.local.node.ports import ANNOTATION, declared_ports
from deploy.local.node.sources import ConfigError, fetch_sources
from deploy.local.node.volumes import (
    make_private_dir,
    make_sub_paths,
    make_volumes,
    remove_pod_files,
    remove_volatile_files,
    temporary_dir_of,
)
from services.chassis.kube import Conflict, JsonObject, KubeError, NotFound, dig_dict

log = logging.getLogger(__name__)

REFRESH_S = 60.0
"""How often the files of ConfigMaps and Secrets are brought up to date in running pods, as the kubelet does, which
also does it when a pod's object changes."""
GONE_GRACE_S = 2.0
"""Grace for containers whose pod object was removed by force."""
RETRY_S = 2.0


class PodWorker:
    """One pod, from its first container to its removal. Run `run` as a task."""

    def __init__(self, obj: JsonObject, node: NodeContext, on_change: Callable[[], None]) -> None:
        self.pod = Pod.model_validate(obj)
        self._status = dig_dict(obj, "status")
        self._node = node
        self._on_change = on_change
        self._dir = node.pod_dir(self.pod.metadata.uid)
        self._wake, self._dirty, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._gone = False
        self._leave_within: float | None = None
        self._prepared_at = time.monotonic()
        self.ports = {port: self._port(port) for port in declared_ports(self.pod.spec.containers)}
        spec = self.pod.spec
        self._init = [self._worker(container) for container in spec.init_containers]
        self._main = [self._worker(container) for container in spec.containers]

    def _port(self, declared: int) -> int:
        return self._node.ports.port(f"{self.pod.metadata.uid}/{declared}")

    def _worker(self, container: Container) -> ContainerWorker:
        folder = self._dir / "containers" / container.name
        return ContainerWorker(container, self._node, folder, lambda: self.pod, self.ports, self._changed)

    def _changed(self) -> None:
        self._wake.set()
        self._dirty.set()
        self._on_change()

    @property
    def records(self) -> Records:
        """The containers as they are now."""
        return {worker.record.name: worker.record for worker in (*self._init, *self._main)}

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it."""
        return not self.pod.deleted and not self._gone and containers_ready(self.pod, self.records)

    def update(self, obj: JsonObject) -> None:
        """Take in the pod's object as it is now."""
        before = self.pod.grace_seconds if self.pod.deleted else None
        annotations = self.pod.metadata.annotations
        self.pod = Pod.model_validate(obj)
        if self.pod.metadata.annotations != annotations:
            self._prepared_at = -REFRESH_S  # so that somebody who changed a ConfigMap can hurry it along
        self._status = dig_dict(obj, "status")
        if before is not None and self.pod.grace_seconds < before:
            self._hurry.set()
        self._changed()

    def removed(self) -> None:
        """The pod's object is gone: end what runs."""
        self._gone = True
        self._hurry.set()
        self._changed()

    def leave(self, within: float) -> None:
        """The agent is told to stop: end what runs within so many seconds. The pod's object stays."""
        self._leave_within = within
        self._wake.set()

    async def run(self) -> None:
        """Work until the pod is gone from this node. Cancelling it leaves the processes running."""
        await asyncio.to_thread(make_private_dir, self._dir)
        for worker in (*self._init, *self._main):
            worker.adopt()
        self._dirty.set()
        reporter = asyncio.create_task(self._report_always())
        try:
            while not (self.pod.deleted or self._gone or self._leave_within is not None):
                await self._sleep(await self._sync())
            await self._end(reporter)
        finally:
            reporter.cancel()
            for worker in (*self._init, *self._main):
                worker.let_go()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    # Running

    async def _sync(self) -> float:
        """Start what is due. Returns the seconds until there may be more to do."""
        if self.pod.finished:
            await self._stop(f"the pod is {self.pod.status.phase}")
        if phase(self.pod, self.records) in ("Succeeded", "Failed"):
            return REFRESH_S
        now = datetime.now(UTC)
        times = {worker: at for worker in self._next() if (at := self._start_at(worker))}
        due = [worker for worker, at in times.items() if at <= now]
        if due or time.monotonic() - self._prepared_at >= REFRESH_S:
            await self._prepare_and_start(due)
        later = [(at - now).total_seconds() for worker, at in times.items() if worker not in due]
        return RETRY_S if due else max(0.05, min([*later, REFRESH_S]))

    def _next(self) -> list[ContainerWorker]:
        """The containers whose turn it is: the first init container that is not done, else all others."""
        if initialized(self.pod, self.records):
            return self._main
        return [next(worker for worker in self._init if not is_done(worker.record))]

    def _start_at(self, worker: ContainerWorker) -> datetime | None:
        return start_at(worker.record, self.pod.spec.restart_policy, init=worker in self._init)

    async def _prepare_and_start(self, due: list[ContainerWorker]) -> None:
        try:
            sources = await fetch_sources(self._node.client, self.pod, self._node.tokens)
            await asyncio.to_thread(make_volumes, self.pod, self._dir, sources, self._node.place)
            await asyncio.to_thread(self._make_dirs)
        except (ConfigError, OSError) as error:
            for worker in due:
                worker.waits("ContainerCreating", str(error))
            return
        except KubeError as error:
            log.warning("pod %s waits for the API server: %s", self.pod.title, error)
            return
        self._prepared_at = time.monotonic()
        for worker in due:
            await worker.start(sources)

    def _make_dirs(self) -> None:
        make_private_dir(self._dir / "home")
        make_private_dir(temporary_dir_of(self.pod.metadata.uid))
        for container in (*self.pod.spec.init_containers, *self.pod.spec.containers):
            make_sub_paths(container_mounts(self.pod, container, self._dir), self._dir)

    # Ending

    async def _end(self, reporter: asyncio.Task[None]) -> None:
        leaving = not (self.pod.deleted or self._gone)
        await self._stop("the node agent is stopped" if leaving else "the pod is deleted")
        reporter.cancel()
        if not leaving:
            await self._remove()
            return
        await asyncio.to_thread(remove_volatile_files, self.pod.metadata.uid)
        with suppress(KubeError):  # The server may be gone already; the next agent reports it.
            await self.report()

    async def _stop(self, why: str) -> None:
        """End all containers, within the pod's grace period."""
        grace = min(self._grace, self._leave_within or self._grace)
        hurried = asyncio.create_task(self._kill_when_hurried())
        try:
            await asyncio.gather(*(worker.stop(grace, why) for worker in (*self._init, *self._main)))
        finally:
            hurried.cancel()

    @property
    def _grace(self) -> float:
        return GONE_GRACE_S if self._gone else self.pod.grace_seconds

    async def _kill_when_hurried(self) -> None:
        """Somebody deleted the pod again, with less grace."""
        await self._hurry.wait()
        await asyncio.sleep(self._grace)
        await asyncio.gather(*(worker.process.kill() for worker in (*self._init, *self._main)))

    async def _remove(self) -> None:
        """Report how it ended, let the API server forget the pod, and clean up."""
        while not self._gone:
            try:
                await self.report()
                await self._node.client.delete(pod_ref(self.pod), uid=self.pod.metadata.uid, grace_seconds=0)
                break
            except (NotFound, Conflict):
                break
            except KubeError as error:
                log.warning("pod %s has ended but cannot be deleted yet: %s", self.pod.title, error)
                await asyncio.sleep(RETRY_S)
        self._node.release(self.pod.metadata.uid)
        await asyncio.to_thread(remove_pod_files, self.pod.metadata.uid, self._dir)

    # Reporting

    async def _report_always(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self.report()
            except (NotFound, Conflict) as error:
                log.debug("pod %s is gone: %s", self.pod.title, error)
            except KubeError as error:
                log.warning("the status of pod %s is not written yet: %s", self.pod.title, error)
                self._dirty.set()
                await asyncio.sleep(RETRY_S)

    async def report(self) -> None:
        """Write the pod's status and ports, if the API server does not have them. Raises KubeError."""
        if self.pod.finished:
            return
        await self._report_ports()
        status = pod_status(self.pod, self.records, self._node.place.address, datetime.now(UTC))
        if same_status(status, self._status):
            return
        patch: JsonObject = {"metadata": {"uid": self.pod.metadata.uid}, "status": status}
        answer = await self._node.client.merge_patch(pod_ref(self.pod), patch, subresource="status")
        self._status = dig_dict(answer, "status")
        self.pod = self.pod.model_copy(update={"status": Pod.model_validate(answer).status})

    async def _report_ports(self) -> None:
        wanted = json.dumps({str(declared): real for declared, real in self.ports.items()})
        if not self.ports or self.pod.metadata.annotations.get(ANNOTATION) == wanted:
            return
        metadata: JsonObject = {"uid": self.pod.metadata.uid, "annotations": {ANNOTATION: wanted}}
        answer = await self._node.client.merge_patch(pod_ref(self.pod), {"metadata": metadata})
        self.pod = self.pod.model_copy(update={"metadata": Pod.model_validate(answer).metadata})
