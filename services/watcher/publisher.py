"""Turns what the API server says about Workspaces into messages. Run by one process at a time.

Two at once would be harmless: each publishes only on top of the message that it has seen, the same state only
once, and over what may be newer only what the API server says at that moment.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError

from services.chassis.bus import Bus
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
from services.contracts.workspace import FINALIZER, LabelSelector, Resource, WorkspaceSpec
from services.watcher.checks.size import fits
from services.watcher.references import examine
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
_UNREADABLE: Final = WorkspaceSpec(resource=Resource(label_selector=LabelSelector()))
"""Stands for a spec that cannot be read, or is too long, in the message that such a workspace goes. Nobody plans by it
then."""


class Publisher:
    """Publishes each workspace whenever what it wants has changed, and all of them when asked to."""

    def __init__(self, kube: KubeClient, bus: Bus, writer: Writer, watch: ListWatch) -> None:
        self._kube = kube
        self._bus = bus
        self._writer = writer
        self._watch = watch
        self._published: dict[Key, str] = {}
        self._queue: KeyedQueue[Key] = KeyedQueue()

    def publish_all_again(self) -> None:
        """Forget what was published: the bus has lost it."""
        self._published.clear()
        for key in self._watch.objects:
            self._queue.add(key)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        self._published.clear()
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
        found = await examine(self._kube, workspace)
        if found.problem:
            await self._writer.write_problem(workspace, found.problem)
            return LOOK_AGAIN
        held = workspace if meta.held else await self._hold(workspace)
        if held is None:
            return 0
        await self._publish(held, found.configs)
        if _tells_a_problem(workspace.status):
            await self._writer.on_message(workspace.identity)  # it is over, and perhaps there is no news to tell it
        return LOOK_AGAIN if found.configs else 0  # a ConfigMap may change without the Workspace changing

    async def _take_down(self, workspace: Workspace) -> float:
        if not workspace.metadata.held:
            return 0
        await self._publish(workspace, {})
        if not workspace.status.is_true(ConditionType.DELETING):
            await self._writer.write_deleting(workspace)
        return 0

    async def _hold(self, workspace: Workspace) -> Workspace | None:
        """Put our finalizer on a workspace, before anything is made for it. Returns it as it is then; None if gone."""
        meta = workspace.metadata
        patch: JsonObject = {
            "metadata": {"resourceVersion": meta.resource_version, "finalizers": [*meta.finalizers, FINALIZER]}
        }
        try:
            return read(await self._kube.merge_patch(ObjectRef(WORKSPACES, meta.name, meta.namespace), patch))
        except NotFound:
            return None
        except Conflict as error:
            raise Outdated(str(error)) from error

    async def _publish(self, workspace: Workspace, configs: dict[str, str]) -> None:
        """Publish on top of the newest message, unless that says the same."""
        state = to_state(workspace, configs)
        digest = _wanted(state)
        if self._published.get(workspace.metadata.key) == digest:
            return
        if not await self._bus.publish_first(state):
            last = await self._bus.last(WorkspaceState, state.subject)
            if last.message is None or _wanted(last.message) != digest:
                if last.message is not None and _may_be_newer(last.message, state):
                    await self._read_again(workspace)
                await self._bus.publish(state, expect=last.sequence)
        self._published[workspace.metadata.key] = digest

    async def _read_again(self, workspace: Workspace) -> None:
        """Raise `Outdated` unless the API server still says so: we may have lost the Lease amid a look."""
        meta = workspace.metadata
        obj = await self._kube.get(ObjectRef(WORKSPACES, meta.name, meta.namespace))
        if obj is None or _told(read(obj)) != _told(workspace):
            raise Outdated(f"workspace {meta.namespace}/{meta.name} has changed")

    async def _gone(self, key: Key) -> float:
        """A workspace is not there any more. If it went by force, its finalizer removed, let go all the same.

        The same where a plan still stands: whoever made it has ended before it could see that the workspace was gone.
        """
        self._published.pop(key, None)
        last = await self._bus.last(WorkspaceState, subjects.workspace(*key))
        if last.message is None:
            return 0
        about(last.message)
        plan = await self._bus.newest(PlanState, subjects.plan(*key))
        stands = plan is not None and plan.uid == last.message.uid and not plan.retired
        if stands or not last.message.deleting:
            await self._bus.publish(last.message.model_copy(update={"deleting": True}), expect=last.sequence)
        # Perhaps it was told that nothing is left when nobody listened. By HISTORY: after a restart nats-server may
        # have copied forgotten messages anew, and not this one.
        elif report := (await self._bus.last(Report, subjects.report(ServiceName.SCHEDULER, *key))).message:
            await self._writer.on_message(report)
        return 0

    async def _look_for_the_gone(self) -> float:
        """Look at what the bus still knows and the API server does not: it may have gone while nobody watched."""
        known = [*await self._bus.subjects(WorkspaceState), *await self._bus.subjects(PlanState)]
        for key in sorted({subjects.workspace_key(subject) for subject in known}):
            if key not in self._watch.objects:
                self._queue.add(key)
        return 0


def _wanted(state: WorkspaceState) -> str:
    """A digest of the state without its version: writing the status changes that, and nothing that is wanted."""
    return state.model_copy(update={"resource_version": ""}).digest()


def _may_be_newer(last: WorkspaceState, state: WorkspaceState) -> bool:
    """Whether the last message may be of a later state of the object, or of a later object of that name."""
    versions = (last.resource_version, state.resource_version)
    if (last.deleting and not state.deleting) or not all(version.isdecimal() for version in versions):
        return True
    return int(versions[0]) > int(versions[1])  # a number that grows, for all objects of a cluster


def _told(workspace: Workspace) -> tuple[object, ...]:
    """What a message tells of the object, its spec by the generation."""
    meta = workspace.metadata
    return (meta.uid, meta.generation, meta.deleting, meta.annotations, workspace.status.plan)


def _tells_a_problem(status: WorkspaceStatus) -> bool:
    """Whether the status tells of something that the watcher itself found wrong."""
    planned = status.condition(ConditionType.PLAN_READY)
    return planned is not None and not planned.is_true and planned.reason in _OWN_REASONS


def to_state(workspace: Workspace, configs: dict[str, str]) -> WorkspaceState:
    """The message about a workspace. Of its annotations only ours travel, and those of providers."""
    meta = workspace.metadata
    if workspace.spec is None and not meta.deleting:
        raise ValueError(f"workspace {meta.namespace}/{meta.name} has no spec to publish")
    return WorkspaceState(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        resource_version=meta.resource_version,
        spec=_last_spec(workspace) if meta.deleting else workspace.spec or _UNREADABLE,
        annotations=meta.ours,
        configs=configs,
        plan=workspace.status.plan,
        deleting=meta.deleting,
        created_at=meta.creation_timestamp.astimezone(UTC),
    )


def _last_spec(workspace: Workspace) -> WorkspaceSpec:
    """What of the spec goes into the message that the workspace goes: that must fit, or it would stay for ever."""
    spec = workspace.spec
    return spec if spec is not None and fits(spec, workspace.metadata.ours, {}) else _UNREADABLE
