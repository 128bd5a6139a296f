"""Turns what the API server says about Workspaces into messages. Run by one process at a time.

Two at once would be harmless: they publish the same messages under the same ids.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError
from pydantic import ValidationError

from services.chassis.bus import Bus
from services.chassis.kube import (
    WORKSPACES,
    Conflict,
    Deleted,
    JsonObject,
    KubeClient,
    KubeError,
    ListWatch,
    NotFound,
    ObjectRef,
    Upsert,
)
from services.chassis.settle import Outdated
from services.contracts.messages import WorkspaceState
from services.contracts.workspace import FINALIZER
from services.watcher.references import look_up
from services.watcher.validate import find_problem
from services.watcher.workspace import Workspace, read
from services.watcher.writer import Writer

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 3.0
"""Seconds until a workspace that could not be published is looked at again."""

Key = tuple[str, str]


class Publisher:
    """Publishes each workspace whenever what it wants has changed, and all of them when asked to."""

    def __init__(self, kube: KubeClient, bus: Bus, writer: Writer, watch: ListWatch) -> None:
        self._kube = kube
        self._bus = bus
        self._writer = writer
        self._watch = watch
        self._published: dict[Key, str] = {}
        self._again: dict[Key, float] = {}

    def publish_all_again(self) -> None:
        """Forget what was published: the bus has lost it."""
        self._published.clear()
        now = asyncio.get_running_loop().time()
        self._again |= dict.fromkeys(self._watch.objects, now)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        self._published.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._look_again())

    async def _follow(self) -> None:
        async for change in self._watch.events():
            if isinstance(change, Upsert):
                await self._guarded(change.ref.key, change.obj)
            elif isinstance(change, Deleted):
                await self._gone(change)

    async def _look_again(self) -> None:
        """Every now and then, look at what was left: a missing ConfigMap may be there now."""
        while True:
            await asyncio.sleep(0.25)
            now = asyncio.get_running_loop().time()
            for key in [key for key, at in self._again.items() if at <= now]:
                self._again.pop(key, None)
                if obj := self._watch.objects.get(key):
                    await self._guarded(key, obj)

    async def _guarded(self, key: Key, obj: JsonObject) -> None:
        """Look at one workspace; whatever fails, the others are not held up, and it is looked at again."""
        try:
            if not await self._observe(read(obj)):
                self._postpone(key, LOOK_AGAIN)
        except Outdated:
            self._postpone(key, 0.1)
        except (KubeError, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("will look again: %s", error, extra={"workspace": "/".join(key)})
            self._postpone(key, LOOK_AGAIN)
        except (ValidationError, ValueError, TypeError, KeyError):
            log.exception("a workspace could not be looked at", extra={"workspace": "/".join(key)})
            self._postpone(key, 10 * LOOK_AGAIN)

    def _postpone(self, key: Key, seconds: float) -> None:
        self._again[key] = asyncio.get_running_loop().time() + seconds

    async def _observe(self, workspace: Workspace) -> bool:
        """Publish a workspace, or say what is wrong with it. False if it should be looked at again soon."""
        meta = workspace.metadata
        if meta.deleting:
            return await self._take_down(workspace)
        if problem := find_problem(workspace):
            await self._writer.write_problem(workspace, problem)
            return True
        if not meta.held:
            await self._hold(workspace)  # the change comes back by the watch, with the finalizer on it
            return True
        spec = workspace.spec
        if spec is None:
            raise TypeError("a workspace without problem has a spec")
        found = await look_up(self._kube, meta.namespace, spec)
        if found.problem:
            await self._writer.write_problem(workspace, found.problem)
            return False
        await self._publish(workspace, found.configs)
        return spec.config is None  # a ConfigMap may change without the Workspace changing

    async def _take_down(self, workspace: Workspace) -> bool:
        if not workspace.metadata.held:
            return True
        if workspace.spec is None:
            await self._writer.let_go(workspace)  # it was never readable, so nothing was made for it
            return True
        await self._publish(workspace, {})
        return True

    async def _hold(self, workspace: Workspace) -> None:
        meta = workspace.metadata
        patch: JsonObject = {
            "metadata": {"resourceVersion": meta.resource_version, "finalizers": [*meta.finalizers, FINALIZER]}
        }
        try:
            await self._kube.merge_patch(ObjectRef(WORKSPACES, meta.name, meta.namespace), patch)
        except NotFound:
            return
        except Conflict as error:
            raise Outdated(str(error)) from error

    async def _publish(self, workspace: Workspace, configs: dict[str, str]) -> None:
        state = to_state(workspace, configs)
        digest = state.model_copy(update={"resource_version": ""}).digest()
        if self._published.get(workspace.metadata.key) != digest:
            await self._bus.publish(state)
            self._published[workspace.metadata.key] = digest

    async def _gone(self, change: Deleted) -> None:
        """Somebody removed the finalizer by force: let go of what is left all the same."""
        key = change.ref.key
        self._published.pop(key, None)
        self._again.pop(key, None)
        workspace = read(change.obj)
        if workspace.spec is None or (workspace.metadata.deleting and workspace.metadata.held is False):
            return
        try:
            await self._bus.publish(to_state(workspace, {}).model_copy(update={"deleting": True}))
        except (JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("not told that it is gone; garbage collection will find it: %s", error)


def to_state(workspace: Workspace, configs: dict[str, str]) -> WorkspaceState:
    """The message about a workspace whose spec can be read."""
    meta = workspace.metadata
    if workspace.spec is None:
        raise ValueError(f"workspace {meta.namespace}/{meta.name} has no spec to publish")
    return WorkspaceState(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        resource_version=meta.resource_version,
        spec=workspace.spec,
        annotations=meta.annotations,
        configs=configs,
        plan=workspace.status.plan,
        deleting=meta.deleting,
        created_at=meta.creation_timestamp.astimezone(UTC),
    )
