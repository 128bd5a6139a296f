"""Turns what the API server says about Workspaces into messages. Run by one process at a time.

Two at once would be harmless: each publishes only on top of the message that it has seen, the same state only
once, and over what may be newer only what the API server says at that moment.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus, Last
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import (
    WORKSPACES,
    Conflict,
    JsonObject,
    Key,
    KubeClient,
    KubeError,
    ListWatch,
    NotFound,
    ObjectRef,
    Synced,
)
from services.chassis.logs import about
from services.chassis.settle import Outdated
from services.contracts import subjects
from services.contracts.conditions import ConditionType, Reason
from services.contracts.messages import PlanState, Report, WorkspaceState
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import FINALIZER
from services.watcher.arrivals import Arrivals
from services.watcher.references import examine
from services.watcher.state import may_be_newer, to_state, told, wanted
from services.watcher.validate import Problem
from services.watcher.workspace import Workspace, read
from services.watcher.writer import Writer

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 3.0
"""Seconds until a workspace is looked at again that is not right, or that names a ConfigMap, which may change."""
AT_ONCE: Final = 0.05
"""Seconds until a workspace is looked at again that changed while it was looked at."""
WORKERS: Final = 16
"""Workspaces that are looked at side by side: one whose calls take long does not hold up the others."""

_OWN_REASONS: Final = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.IMMUTABLE_FIELD_CHANGED,
        Reason.CONFIG_MAP_NOT_FOUND,
        Reason.INVALID_CONFIG,
        Reason.SECRET_NOT_FOUND,
    }
)
_ALL: Final = ("", "")
"""Stands in the queue for a look at what has gone: no object has that name."""


class Publisher:
    """Publishes each workspace whenever what it wants has changed, and all of them when asked to."""

    def __init__(self, kube: KubeClient, bus: Bus, writer: Writer, watch: ListWatch, arrivals: Arrivals) -> None:
        self._kube = kube
        self._bus = bus
        self._writer = writer
        self._watch = watch
        self._arrivals = arrivals
        self._published: dict[Key, str] = {}
        """What was said last of each: the digest of what was published, or which one was refused."""
        self._queue: KeyedQueue[Key] = KeyedQueue()

    def publish_all_again(self) -> None:
        """Forget what was published: the bus has lost it."""
        self._published.clear()
        for key in self._watch.objects:
            self._queue.add(key)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        self._published.clear()
        self._arrivals.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            for _ in range(WORKERS):
                group.create_task(self._queue.work(self._look))

    async def _follow(self) -> None:
        async for change in self._watch.events():
            if isinstance(change, Synced):
                self._published.clear()  # with the next list all is compared with what the bus has
                self._queue.add(_ALL)
            else:
                self._queue.add(change.ref.key)

    async def _look(self, key: Key) -> float:
        """Look at one workspace. Seconds until it is to be looked at again, 0 if only when it changes."""
        try:
            if key == _ALL:
                return await self._look_for_the_gone()
            obj = self._watch.objects.get(key)
            return await (self._gone(key) if obj is None else self._observe(read(obj)))
        except Outdated:
            return AT_ONCE
        except (KubeError, JetStreamError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("will look again: %s", error or repr(error), extra={"workspace": "/".join(key)})
            return LOOK_AGAIN
        except Exception:
            log.exception("a workspace could not be looked at", extra={"workspace": "/".join(key)})
            return 10 * LOOK_AGAIN

    async def _observe(self, workspace: Workspace) -> float:
        """Publish a workspace, or say what is wrong with it."""
        about(workspace.identity)
        meta = workspace.metadata
        if meta.deleting:
            return await self._take_down(workspace)
        if meta.held:
            self._arrivals.discard(meta.key)
        elif pause := self._arrivals.pause(meta.key, meta.resource_version):
            return pause
        found = await examine(self._kube, workspace)
        if found.problem:
            return await self._refuse(workspace, found.problem)
        if not meta.held:
            return await self._welcome(workspace, found.configs)
        await self._publish(workspace, found.configs)
        if _tells_a_problem(workspace.status):
            await self._writer.on_message(workspace.identity)  # it is over, and perhaps there is no news to tell it
        return LOOK_AGAIN if found.configs else 0  # a ConfigMap may change without the Workspace changing

    async def _refuse(self, workspace: Workspace, problem: Problem) -> float:
        """Say what is wrong. Nothing of it is published, so what a namesake has left is ended here, once."""
        key, refused = workspace.metadata.key, f"refused {workspace.metadata.uid}"
        self._arrivals.discard(key)
        await self._writer.write_problem(workspace, problem)
        if self._published.get(key) != refused:
            await self._end_told(workspace, own=False)
            self._published[key] = refused
        if workspace.status.plan and not workspace.metadata.held:
            await self._writer.on_message(workspace.identity)  # there may be a newer plan, by which it is right
        return LOOK_AGAIN

    async def _welcome(self, workspace: Workspace, configs: dict[str, str]) -> float:
        """Have one planned that has just come, then hold it; the watch shows it as it is then.

        One that has a plan is not told to be free: it may have lost our finalizer, and machines be there for it.
        """
        meta = workspace.metadata
        if workspace.status.plan is None:
            self._arrivals.add(meta.key, meta.resource_version)
            await self._publish(workspace, configs)
            if pause := self._arrivals.pause(meta.key, meta.resource_version):
                return pause
        await self._hold(workspace)
        return 0

    async def _take_down(self, workspace: Workspace) -> float:
        self._arrivals.discard(workspace.metadata.key)
        if not workspace.metadata.held:  # others alone keep it: it was let go of, or goes before we held it
            await self._end_told(workspace, own=True)
            return 0
        await self._publish(workspace, {})
        if not workspace.status.is_true(ConditionType.DELETING):
            await self._writer.write_deleting(workspace)
        return 0

    async def _end_told(self, workspace: Workspace, *, own: bool) -> None:
        """Have that taken down which was published last of a namesake, or of the workspace's `own`."""
        meta = workspace.metadata
        last = await self._last(meta.key)
        if last.message and (own or last.message.uid != meta.uid):
            await self._read_again(workspace)
            await self._end(last.message, last.sequence)

    async def _hold(self, workspace: Workspace) -> None:
        """Put our finalizer on a workspace, before any machine is asked for."""
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
        """Publish on top of the newest message, unless that says the same."""
        state = to_state(workspace, configs)
        digest = wanted(state)
        if self._published.get(workspace.metadata.key) == digest:
            return
        if not await self._bus.publish_first(state):
            last = await self._last(workspace.metadata.key)
            if last.message is None or wanted(last.message) != digest:
                if last.message is not None and may_be_newer(last.message, state):
                    await self._read_again(workspace)
                await self._bus.publish(state, expect=last.sequence)
        self._published[workspace.metadata.key] = digest

    async def _last(self, key: Key) -> Last[WorkspaceState]:
        return await self._bus.last(WorkspaceState, subjects.workspace(*key))

    async def _read_again(self, workspace: Workspace) -> None:
        """Raise `Outdated` unless the API server still says so: we may have lost the Lease amid a look."""
        meta = workspace.metadata
        obj = await self._kube.get(ObjectRef(WORKSPACES, meta.name, meta.namespace))
        if obj is None or told(read(obj)) != told(workspace):
            raise Outdated(f"workspace {meta.namespace}/{meta.name} has changed")

    async def _gone(self, key: Key) -> float:
        """A workspace is not there any more. If it went before it was held, or by force, let go all the same."""
        self._published.pop(key, None)
        self._arrivals.discard(key)
        last = await self._last(key)
        if last.message is None:
            return 0
        about(last.message)
        if await self._end(last.message, last.sequence):
            return 0
        # Perhaps it was told that nothing is left when nobody listened. By HISTORY: after a restart nats-server may
        # have copied forgotten messages anew, and not this one.
        if report := (await self._bus.last(Report, subjects.report(ServiceName.SCHEDULER, *key))).message:
            await self._writer.on_message(report)
        return 0

    async def _end(self, state: WorkspaceState, sequence: int) -> bool:
        """Have that taken down which was last published under a name, unless that was told. True if it was not.

        It is told again where a plan still stands: whoever made it has ended before it could see that its workspace
        was gone.
        """
        plan = await self._bus.newest(PlanState, subjects.plan(*state.key))
        stands = plan is not None and plan.uid == state.uid and not plan.retired
        if state.deleting and not stands:
            return False
        await self._bus.publish(state.model_copy(update={"deleting": True}), expect=sequence)
        return True

    async def _look_for_the_gone(self) -> float:
        """Look at what the bus still knows and the API server does not: it may have gone while nobody watched."""
        known = [*await self._bus.subjects(WorkspaceState), *await self._bus.subjects(PlanState)]
        for key in sorted({subjects.workspace_key(subject) for subject in known}):
            if key not in self._watch.objects:
                self._queue.add(key)
        return 0


def _tells_a_problem(status: WorkspaceStatus) -> bool:
    """Whether the status tells of something that the watcher itself found wrong."""
    planned = status.condition(ConditionType.PLAN_READY)
    return planned is not None and not planned.is_true and planned.reason in _OWN_REASONS
