"""Brings the cluster's objects to a plan, and reports what became of them. Done twice, it changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from services.chassis.bus import Bus, Last
from services.chassis.kube import (
    CONFIGMAPS,
    JOBS,
    PODS,
    SERVICES,
    STATEFULSETS,
    Forbidden,
    Invalid,
    Key,
    KubeClient,
    NotFound,
    ObjectRef,
)
from services.chassis.logs import about
from services.chassis.lull import Lull
from services.chassis.settle import Again
from services.contracts import subjects
from services.contracts.messages import PlanState, Report
from services.contracts.plan import Workload
from services.contracts.serving import IDLE
from services.contracts.subjects import ServiceName
from services.contracts.workspace import LABEL_OWNER_UID, LABEL_WORKSPACE
from services.deployer.adapter_states import read_adapters, settled
from services.deployer.adapters import config_map_name
from services.deployer.benchmarks import Benchmarks
from services.deployer.bring_services import Services
from services.deployer.diagnose import diagnose
from services.deployer.engine_memory import EngineMemories
from services.deployer.last_words import last_words
from services.deployer.leftovers import Sight, only_waits, owned, slow_to_end
from services.deployer.list_adapters import hurry_list, write_list
from services.deployer.manifests import Images, render
from services.deployer.names import delete_owned, get_owned
from services.deployer.pods import Pod, is_overdue
from services.deployer.refusal import refusal_of
from services.deployer.report import (
    Observed,
    going,
    is_whole,
    not_whole,
    refused,
    released,
    serving,
    to_report,
    tuning_report,
)
from services.deployer.tuning import TuningJobs
from services.deployer.turns import Turns
from services.deployer.workloads import AT_ONCE, MANAGER, Workloads

log = logging.getLogger(__name__)

SOON: Final = 1.0
REFUSED_AGAIN: Final = 30.0
GOING_AGAIN: Final = 5.0
"""Seconds until it is looked for what is on its way out, if no watch tells that it has gone."""
MEMORY_AGAIN: Final = 5.0
ADAPTERS_SOON: Final = 3.0
ADAPTERS_AGAIN: Final = 30.0
"""Seconds between two looks at a server's adapters: while it is busy with them, and later on."""
PROGRESS_AGAIN: Final = 10.0
APPLIED_FOR: Final = 60.0
"""Seconds in which objects that were applied are not applied again when their plan is looked at."""
QUIET: Final = 0.1
WAIT_FOR_QUIET: Final = 2.0
"""Services and reports wait until so many seconds have passed without a new workload, but no longer than that."""


class Applied(Again):
    """All objects are there as the plan wants them. It is only looked again at what becomes of them."""


class Deployer:
    """Handles one plan at a time; several side by side for different workspaces."""

    def __init__(
        self,
        kube: KubeClient,
        bus: Bus,
        images: Images,
        otlp_endpoint: str | None,
        memories: EngineMemories | None = None,
        sight: Callable[[], Sight] = dict,
        jobs: TuningJobs | None = None,
        turns: Turns | None = None,
        *,
        local: bool = False,
        benchmark: str = IDLE,
    ) -> None:
        """`sight` tells what the watches show that have shown all once. `benchmark` is the wish of Workspaces that say
        nothing of it.
        """
        self._kube = kube
        self._bus = bus
        self._images = images
        self._memories = memories
        self._local = local
        self._sight = sight
        self._jobs = jobs or TuningJobs(kube, local=local)
        self._benchmarks = Benchmarks(kube, local=local, default=benchmark)
        self._otlp_endpoint = otlp_endpoint
        self._applied: dict[Key, tuple[PlanState, float]] = {}
        self._services = Services(kube, MANAGER)
        self._lull = Lull(quiet=QUIET, at_most=WAIT_FOR_QUIET)
        self._workloads = Workloads(kube, self._lull, turns)
        self._taking_down = asyncio.Semaphore(AT_ONCE)

    async def on_plan(self, state: PlanState) -> Again | None:
        """A plan has come, or is looked at again.

        A newer plan may come while this one is carried out, and may even be done before it; so in the end the
        newest is looked for, and whoever finishes last has carried that out.
        """
        while True:
            again = await self._carry_out(state)
            newest = await self._bus.newest(PlanState, state.subject)
            if newest is None or newest == state:
                return again
            state = newest

    async def look(self, namespace: str, name: str, *, mend: bool = False) -> Again | None:
        """Something happened to a workspace's objects: report anew, and `mend` them if one of them is gone.

        Without a plan there is nothing to do.
        """
        last = await self._last_report(namespace, name)
        state = await self._bus.newest(PlanState, subjects.plan(namespace, name))
        if state is None:
            return None
        about(state)
        if state.retired:
            return None if last.message == released(state) else await self._retire(state, last)
        if mend or await self._is_due(state):
            self._applied.pop(state.key, None)
            return await self._deploy(state, last)
        again = await self._report(state, last)
        adapted = state.plan.lora and state.plan.lora.adapters
        later = [after for after in (self._benchmarks.again(state), ADAPTERS_AGAIN if adapted else None) if after]
        return again or (Again(min(later)) if later else None)

    async def _is_due(self, state: PlanState) -> bool:
        """Whether the workload is to be rendered in another way than it was, and need not wait for that."""
        if state.plan.workload is Workload.TUNING or not is_whole(state.plan):
            return False
        await self._decide_on_image_volumes(state)
        return self._workloads.is_due(state, render(state, self._images, self._otlp_endpoint)[-1])

    async def _carry_out(self, state: PlanState) -> Again | None:
        if state.retired:
            self._applied.pop(state.key, None)
            return await self._retire(state, await self._last_report(state.namespace, state.name))
        return await self._deploy(state)

    async def _last_report(self, namespace: str, name: str) -> Last[Report]:
        return await self._bus.last(Report, subjects.report(ServiceName.DEPLOYER, namespace, name))

    async def _publish(self, report: Report, last: Last[Report]) -> None:
        """Publish what was observed. Raises `Outdated` if something was reported since the looking began.

        What was seen before must not hide what was seen after, above all not that a workload is gone.
        """
        if report != last.message:
            await self._bus.publish(report, expect=last.sequence)

    async def _deploy(self, state: PlanState, last: Last[Report] | None = None) -> Again | None:
        """`last` is the report from before the looking began; mostly none is needed, and it is not read."""
        if self._applied_just_now(state) or not is_whole(state.plan):
            return await self._report(state, last or await self._last_report(state.namespace, state.name))
        try:
            if not await self._apply(state):
                return Again(SOON)
        except NotFound as error:
            log.info("not deployed, the namespace is gone: %s", error)
            return None
        except (Invalid, Forbidden) as error:
            if last is None:  # looked at once more, so that what is reported was seen after it was read
                return await self._deploy(state, await self._last_report(state.namespace, state.name))
            await self._publish(refused(state, error.message), last)
            return Again(REFUSED_AGAIN)
        self._applied[state.key] = (state, asyncio.get_running_loop().time())
        return Applied(SOON)  # the first pod makes itself known; if none comes, it is looked for the reason

    def _applied_just_now(self, state: PlanState) -> bool:
        """Whether the plan's objects need not be applied again: what somebody changed in them is mended later."""
        applied, at = self._applied.get(state.key, (None, 0.0))
        return applied == state and asyncio.get_running_loop().time() - at < APPLIED_FOR

    async def _apply(self, state: PlanState) -> bool:
        """First the workload, whose start takes longest, then the Services. False while the name is not free."""
        await self._decide_on_image_volumes(state)
        if state.plan.workload is Workload.TUNING:
            return await self._jobs.ensure(state, self._images)
        *services, workload = render(state, self._images, self._otlp_endpoint)
        await self._services.check(services)
        if not await write_list(self._kube, state, manager=MANAGER):
            return False
        if not await self._workloads.ensure(state, workload):
            return False
        await self._lull.wait()
        if await self._bus.newest(PlanState, state.subject) != state:
            return False  # it may have been taken down meanwhile: what is made now nobody would take down
        return await self._services.bring(services, state.uid)

    async def _decide_on_image_volumes(self, state: PlanState) -> None:
        """Ask once whether the cluster has image volumes, when the first plan comes for which it matters."""
        source = state.plan.model.source if state.plan.model else None
        if source and source.image and self._images.weights.image_volumes is None:
            self._images.weights = self._images.weights.on(await self._kube.version())

    async def _report(self, state: PlanState, last: Last[Report]) -> Again | None:
        if not is_whole(state.plan):
            await self._publish(not_whole(state), last)
            return None
        await self._lull.wait()
        pods = await self._seen_pods(state)
        if state.plan.workload is Workload.TUNING:
            return await self._report_tuning(state, pods, last)
        missing = len(pods) < state.plan.nodes
        refusal = await self._refusal(state) if missing else ""
        crashed = None if serving(state, pods) else diagnose(pods, state.plan.nodes).crashed
        words = await last_words(self._kube, state.namespace, crashed) if crashed else ""
        memory = await self._memories.of(state, pods) if self._memories else None
        await hurry_list(self._kube, state, pods)
        adapters = await read_adapters(state, pods, local=self._local)
        benchmark = await self._benchmarks.of(state, pods, last.message)
        found = Observed(pods=pods, crash_log=words, refusal=refusal, performance=memory)
        more = {"adapters": adapters, "benchmark": benchmark, "waits_for_turn": self._workloads.waits(state)}
        found = found.model_copy(update=more)
        await self._publish(to_report(self._benchmarks.wished(state), found), last)
        if serving(state, pods) and not settled(state, adapters):
            return Again(ADAPTERS_SOON)
        if self._memories and self._memories.wants_more(state, pods):
            return Again(MEMORY_AGAIN)
        return Again(SOON) if missing else None  # a pod that is never created gives no sign

    async def _report_tuning(self, state: PlanState, pods: tuple[Pod, ...], last: Last[Report]) -> Again | None:
        """Report on the Job; while it runs, its numbers are asked for again and again."""
        seen = await self._jobs.look(state, pods, "" if pods else await self._refusal(state))
        await self._publish(tuning_report(state, seen), last)
        return None if seen.succeeded or seen.stopped else Again(PROGRESS_AGAIN if seen.pods else SOON)

    async def _refusal(self, state: PlanState) -> str:
        kind = JOBS if state.plan.workload is Workload.TUNING else STATEFULSETS
        seen = owned(self._sight(), kind, state.uid)
        ref = ObjectRef(kind, state.name, state.namespace)
        workload = seen[0] if seen else await get_owned(self._kube, ref, state.uid)
        return await refusal_of(self._kube, kind, workload) if workload else ""

    async def _seen_pods(self, state: PlanState) -> tuple[Pod, ...]:
        """The pods as the watch shows them: whatever it shows later is looked at anew. To list costs as all pods do."""
        seen = owned(self._sight(), PODS, state.uid)
        return await self._pods(state) if seen is None else tuple(Pod.model_validate(obj) for obj in seen)

    async def _pods(self, state: PlanState) -> tuple[Pod, ...]:
        selector = f"{LABEL_WORKSPACE}={state.name},{LABEL_OWNER_UID}={state.uid}"
        found = await self._kube.list(PODS, namespace=state.namespace, labels=selector)
        return tuple(Pod.model_validate(obj) for obj in found.items)

    async def _retire(self, state: PlanState, last: Last[Report]) -> Again | None:
        """Take everything down; released once no pod is left, so that nodes go after what runs on them.

        What a dead node ran has ended with it: Kubernetes forgets that pod with its node.
        """
        now = datetime.now(UTC)
        if only_waits(self._sight(), state, now):
            if words := slow_to_end(self._sight(), state, now):
                await self._publish(going(state, words), last)
            return Again(GOING_AGAIN)  # the watches tell when it has gone
        async with self._taking_down:
            left = await self._left(state, now)
        if left:
            return Again(SOON)
        await self._publish(released(state), last)
        return None

    async def _left(self, state: PlanState, now: datetime) -> bool:
        """Delete all that is a workspace's. Whether some of it is still there."""
        for resource, name in (
            (STATEFULSETS, state.name),
            (JOBS, state.name),
            (SERVICES, state.name),
            (SERVICES, f"{state.name}-headless"),
            (CONFIGMAPS, config_map_name(state.name)),
        ):
            await delete_owned(self._kube, ObjectRef(resource, name, state.namespace), state.uid)
        pods = [pod for pod in await self._pods(state) if not is_overdue(pod.metadata.deletion_timestamp, now)]
        ref = ObjectRef(STATEFULSETS, state.name, state.namespace)
        return bool(pods) or await get_owned(self._kube, ref, state.uid) is not None
