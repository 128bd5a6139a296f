"""Writes a Workspace's status and finalizer, compare-and-set, and only when something changed.

Any replica may do so for any workspace: whoever loses reads again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from services.chassis.bus import Bus
from services.chassis.kube import (
    WORKSPACES,
    Conflict,
    EventRecorder,
    EventTarget,
    JsonObject,
    Key,
    KubeClient,
    NotFound,
    ObjectRef,
    dig_dict,
)
from services.chassis.settle import Outdated
from services.chassis.telemetry import Telemetry
from services.contracts import subjects
from services.contracts.conditions import WAITS, ConditionStatus, ConditionType, StatusCondition
from services.contracts.messages import Demand, Message, PlanState, Report, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import FINALIZER
from services.watcher.references import examine
from services.watcher.status import WAITING, Seen, next_status
from services.watcher.timeline import finished_phases, ready_span
from services.watcher.validate import Problem
from services.watcher.workspace import Workspace, read

log = logging.getLogger(__name__)


def identity(message: Message) -> Message:
    """What a message is about, without what it says."""
    return Message(namespace=message.namespace, name=message.name, uid=message.uid, generation=message.generation)


def is_release(message: Message) -> bool:
    """Whether it is the scheduler's word that nothing is left of a workspace."""
    return isinstance(message, Report) and message.released and message.service is ServiceName.SCHEDULER


def report_subjects(workspace: Workspace, plan: PlanState | None) -> list[str]:
    """The subjects of all who may report on a workspace: the providers are those that its plan names."""
    where = (workspace.metadata.namespace, workspace.metadata.name)
    current = [p for p in (workspace.status.plan, plan.plan if plan else None) if p]
    providers = sorted({p.provider for p in current} | {name for p in current for name in p.providers})
    return [
        subjects.report(ServiceName.SCHEDULER, *where),
        subjects.report(ServiceName.DEPLOYER, *where),
        *(subjects.report(ServiceName.PROVISIONER, *where, provider) for provider in providers),
    ]


Shown = Callable[[Key], JsonObject | None]
"""What a watch shows of a workspace now. It may be behind."""


class Writer:
    """Brings the status of one workspace at a time to what the bus says of it."""

    def __init__(
        self, kube: KubeClient, bus: Bus, events: EventRecorder, telemetry: Telemetry, shown: Shown = lambda _: None
    ) -> None:
        self._shown = shown
        self._kube = kube
        self._bus = bus
        self._events = events
        self._telemetry = telemetry

    async def on_message(self, message: Message) -> None:
        """Something was said of a workspace: look at it. Raises `Outdated` after losing a race."""
        if await self._written_on_what_is_shown(message):
            return
        obj = await self._kube.get(ObjectRef(WORKSPACES, message.name, message.namespace))
        workspace = read(obj) if obj else None
        if workspace is not None and workspace.metadata.uid == message.uid:
            await self.write(workspace, await self._seen(workspace))
        elif is_release(message):
            await self._forget(message, None)  # it went by force, and now all that it had is gone too

    async def _written_on_what_is_shown(self, message: Message) -> bool:
        """Write on top of what the watch shows: mostly that is the newest, and to read it would cost the API server a
        third of the write. False where it was behind, or says that there is nothing to write: then it must be read.
        """
        obj = self._shown(message.key)
        workspace = read(obj) if obj else None
        if workspace is None or workspace.metadata.uid != message.uid or workspace.metadata.deleting:
            return False
        seen = await self._seen(workspace)
        if next_status(workspace, seen, datetime.now(UTC)) == workspace.status:
            return False
        try:
            await self.write(workspace, seen)
        except Outdated:
            return False
        return True

    async def write_problem(self, workspace: Workspace, problem: Problem) -> None:
        """Say what is wrong with a workspace. Works without the bus."""
        await self.write(workspace, Seen(problem=problem))

    async def write_deleting(self, workspace: Workspace) -> None:
        """Say that a workspace is on its way out. Works without the bus."""
        await self.write(workspace, Seen())

    async def _seen(self, workspace: Workspace) -> Seen:
        meta = workspace.metadata
        # From HISTORY: a report that comes of it may be there before the copy of the plan is.
        plan = (await self._bus.last(PlanState, subjects.plan(meta.namespace, meta.name))).message
        reports = await asyncio.gather(
            *(self._bus.newest(Report, subject) for subject in report_subjects(workspace, plan))
        )
        # What the publisher finds wrong must not be taken back by a report of before.
        problem = None if meta.deleting else (await examine(self._kube, workspace)).problem
        return Seen(plan=plan, reports=tuple(r for r in reports if r), problem=problem)

    async def write(self, workspace: Workspace, seen: Seen) -> None:
        """Write what changed, then let go of the workspace if it is deleted and nothing is left of it."""
        status = next_status(workspace, seen, datetime.now(UTC))
        meta = workspace.metadata
        goes = meta.deleting and meta.held and _released(workspace, seen)
        last = goes and meta.finalizers == (FINALIZER,)  # it is gone then, and nobody reads its status any more
        if status != workspace.status and not last:
            written = await self._patch_status(workspace, status)
            if written is None:
                return
            await self._announce(workspace.status, written, status)
            workspace = written
        if goes:
            await self.let_go(workspace, seen)
        if last:
            await self._announce(workspace.status, workspace, status)

    async def _patch_status(self, workspace: Workspace, status: WorkspaceStatus) -> Workspace | None:
        """Write the status, if the workspace is as it was read. Returns it as it is then; None if it is gone."""
        return await self._patch(workspace, {"status": with_removals(workspace.status, status)}, subresource="status")

    async def _patch(
        self, workspace: Workspace, patch: JsonObject, *, subresource: str | None = None
    ) -> Workspace | None:
        """Compare-and-set: raises `Outdated` if the workspace has changed since it was read."""
        meta = workspace.metadata
        metadata: JsonObject = {"resourceVersion": meta.resource_version, **dig_dict(patch, "metadata")}
        ref = ObjectRef(WORKSPACES, meta.name, meta.namespace)
        try:
            return read(await self._kube.merge_patch(ref, patch | {"metadata": metadata}, subresource=subresource))
        except Conflict as error:
            raise Outdated(str(error)) from error
        except NotFound:
            log.info("workspace is gone", extra={"workspace": f"{meta.namespace}/{meta.name}"})
            return None

    async def _announce(self, old: WorkspaceStatus, workspace: Workspace, status: WorkspaceStatus) -> None:
        """Tell what has just changed: as events on the object, and as spans of what is over."""
        for condition in worth_telling(old, status):
            await self._event(workspace, condition)
        identity = workspace.identity
        for phase in finished_phases(old.phases, status.phases):
            self._telemetry.record(phase.name, identity, phase.started_at, phase.finished_at or phase.started_at)
        if span := ready_span(old, status, workspace.metadata, datetime.now(UTC)):
            self._telemetry.record("workspace", identity, *span, root=True)

    async def _event(self, workspace: Workspace, condition: StatusCondition) -> None:
        meta = workspace.metadata
        about = EventTarget(ObjectRef(WORKSPACES, meta.name, meta.namespace), meta.uid)
        wrong = condition.status is ConditionStatus.FALSE and condition.reason not in WAITS
        tell = self._events.warning if wrong else self._events.normal
        await tell(about, condition.reason, f"{condition.type}: {condition.message}".rstrip(": "))

    async def let_go(self, workspace: Workspace, seen: Seen) -> None:
        """Remove our finalizer, then what the bus still keeps under that name."""
        meta = workspace.metadata
        left: list[object] = [name for name in meta.finalizers if name != FINALIZER]
        await self._patch(workspace, {"metadata": {"finalizers": left or None}})
        log.info("workspace released", extra={"workspace": f"{meta.namespace}/{meta.name}"})
        await self._forget(workspace.identity, workspace.status.plan or (seen.plan.plan if seen.plan else None))

    async def _forget(self, message: Message, plan: Plan | None) -> None:
        """Drop what the bus keeps of a workspace that is no more; a namesake's messages stay.

        The word that asks for it goes last: who is killed amid this has not acknowledged it, so it comes again.
        """
        where = (message.namespace, message.name)
        if plan is None:
            last = await self._bus.newest(PlanState, subjects.plan(*where))
            plan = last.plan if last and last.uid == message.uid else None
        providers = plan.providers if plan else ()
        for provider in providers:
            await self._bus.forget(Demand, subjects.demand(provider, *where), message.uid)
            await self._bus.forget(Report, subjects.report(ServiceName.PROVISIONER, *where, provider), message.uid)
        await self._bus.forget(Report, subjects.report(ServiceName.DEPLOYER, *where), message.uid)
        await self._bus.forget(PlanState, subjects.plan(*where), message.uid)
        await self._bus.forget(WorkspaceState, subjects.workspace(*where), message.uid)
        await self._bus.forget(Report, subjects.report(ServiceName.SCHEDULER, *where), message.uid)


def _released(workspace: Workspace, seen: Seen) -> bool:
    """Whether the scheduler says that neither workload, node nor demand is left of this very workspace."""
    uid = workspace.metadata.uid
    return any(r.released and r.uid == uid for r in seen.reports if r.service is ServiceName.SCHEDULER)


def worth_telling(old: WorkspaceStatus, new: WorkspaceStatus) -> list[StatusCondition]:
    """The conditions worth an event: those whose status or reason changed, without what only repeats or waits."""
    silent = {ConditionType.SUCCEEDED, ConditionType.READY}
    return [
        c
        for c in new.conditions
        if c.type not in silent
        and c.reason != WAITING
        and _differs(old.condition(c.type), c)
        and not (c.type is ConditionType.WORKSPACE_READY and c.status is not ConditionStatus.TRUE)
    ]


def _differs(old: StatusCondition | None, new: StatusCondition) -> bool:
    return old is None or (old.status, old.reason) != (new.status, new.reason)


def with_removals(old: WorkspaceStatus, new: WorkspaceStatus) -> JsonObject:
    """The merge patch: all of the new status, and null for what is no longer in it."""
    return _removals(old.to_dict(), new.to_dict())


def _removals(old: dict[str, object], new: dict[str, object]) -> JsonObject:
    """`new` as a merge patch over `old`, nested objects too."""
    patch: JsonObject = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        patch[key] = _removals(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return patch
