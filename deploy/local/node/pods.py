"""The pods that are bound to this node: one worker for each."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path

from pydantic import ValidationError

from deploy.local.node.container import KILL_LIMIT_S
from deploy.local.node.context import NodeContext
from deploy.local.node.pids import ProcessId
from deploy.local.node.pod_worker import PodWorker
from deploy.local.node.ports import NoFreePort
from deploy.local.node.run_files import runs
from deploy.local.node.service_ports import LocalPod
from deploy.local.node.volumes import remove_pod_files
from services.chassis.kube import PODS, Deleted, JsonObject, ListWatch, Synced, Upsert, dig_dict, dig_str

log = logging.getLogger(__name__)

ORPHAN_GRACE_S = 5.0
RESTART_S = 5.0


class Pods:
    """Watches the pods of this node and keeps their workers. `on_change` is called when one of them has changed."""

    def __init__(self, node: NodeContext, node_name: str, on_change: Callable[[], None]) -> None:
        self._node = node
        self._watch = ListWatch(node.client, PODS, fields=f"spec.nodeName={node_name}")
        self._on_change = on_change
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._orphans_ended = False
        self._leaving = False

    def objects(self) -> Mapping[str, JsonObject]:
        """The pods of this node as the API server has them, by "namespace/name"."""
        return {f"{namespace}/{name}": obj for (namespace, name), obj in self._watch.objects.items()}

    def local_pods(self) -> list[LocalPod]:
        """The pods as Services see them."""
        return [LocalPod(worker.pod, worker.ready, worker.ports) for worker in self._workers.values()]

    async def run(self) -> None:
        """Work until cancelled. The processes run on; `stop` ends them."""
        try:
            async with aclosing(self._watch.events()) as events:
                async for event in events:
                    if isinstance(event, Upsert):
                        self._upsert(event.obj)
                    elif isinstance(event, Deleted):
                        self._removed(dig_str(event.obj, "metadata", "uid"))
                    elif isinstance(event, Synced):
                        await self._end_orphans()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def stop(self, at_most: float) -> None:
        """End the processes of all pods, within their grace period or `at_most` seconds, and report them as ended."""
        self._leaving = True
        for worker in self._workers.values():
            worker.leave(at_most)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=at_most + KILL_LIMIT_S)

    def _upsert(self, obj: JsonObject) -> None:
        uid = dig_str(obj, "metadata", "uid")
        try:
            if uid in self._workers:
                self._workers[uid].update(obj)
                return
            if self._leaving:
                return
            worker = PodWorker(obj, self._node, self._on_change)
        except (ValidationError, NoFreePort) as error:
            log.warning("pod %s cannot be run: %s", dig_dict(obj, "metadata").get("name"), error)
            return
        self._workers[uid] = worker
        self._tasks[uid] = asyncio.create_task(self._work(uid, worker))

    def _removed(self, uid: str) -> None:
        if uid in self._workers:
            self._workers[uid].removed()

    async def _work(self, uid: str, worker: PodWorker) -> None:
        """Run a worker to its end. Should it break, that is logged, and it starts over: the others go on."""
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("the worker of pod %s broke; it starts over", worker.pod.title)
                await asyncio.sleep(RESTART_S)
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        self._on_change()

    async def _end_orphans(self) -> None:
        """End what an earlier agent has left running of pods that are gone since. Once, after the first list."""
        if self._orphans_ended:
            return
        self._orphans_ended = True
        folders = [path for path in self._node.pods_dir.iterdir() if path.name not in self._workers]
        await asyncio.gather(*(self._end_orphan(path) for path in folders))

    async def _end_orphan(self, folder: Path) -> None:
        log.info("pod %s was deleted while no agent ran; ending what is left of it", folder.name)
        records = [run.run_record() for one in (folder / "containers").glob("*") for run in runs(one)[-1:]]
        alive = [record for record in records if record and record.shim.is_alive()]
        await asyncio.gather(*(_end(record.process or record.shim, record.shim) for record in alive))
        self._node.release(folder.name)
        await asyncio.to_thread(remove_pod_files, folder.name, folder)


async def _end(process: ProcessId, shim: ProcessId) -> None:
    for number, limit_s in ((signal.SIGTERM, ORPHAN_GRACE_S), (signal.SIGKILL, KILL_LIMIT_S)):
        process.signal_group(number)
        try:
            await asyncio.wait_for(shim.ended(), limit_s)
        except TimeoutError:
            continue
        return
