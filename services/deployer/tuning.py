"""Brings the Job of a plan that tunes into the cluster, and looks what has become of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from services.chassis.kube import (
    JOBS,
    Conflict,
    Forbidden,
    Invalid,
    JsonObject,
    KubeClient,
    KubeError,
    NotFound,
    ObjectRef,
    dig,
    dig_str,
)
from services.contracts.messages import PlanState
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.manifests import Images
from services.deployer.names import is_free
from services.deployer.pods import Pod
from services.deployer.redact import redact
from services.deployer.tuning_digest import fits
from services.deployer.tuning_job import CONTAINER, render_job
from services.deployer.tuning_progress import read_progress
from services.deployer.tuning_report import (
    FAILURE,
    RESULT,
    TuningSeen,
    ended_well,
    last_end,
    pods_of,
    read_result,
    seen_of,
)

log = logging.getLogger(__name__)

MANAGER: Final = "kaitobus-deployer"
OVER: Final = 1
"""Seconds that a Job may take which shall end now. To allow no more tries would let its container start once more."""
LONGEST: Final = 2000
"""Characters of a last word that are kept."""


class TuningJobs:
    """The Jobs of workspaces that tune. `local` is set where pods run on this machine's own network."""

    def __init__(self, kube: KubeClient, *, local: bool = False) -> None:
        self._kube = kube
        self._local = local

    async def ensure(self, state: PlanState, images: Images) -> bool:
        """Make the Job, unless it is there; see `fits` for one that has ended. False while the name is not free.

        Raises KubeError.
        """
        ref = _ref(state)
        found = await self._kube.get(ref)
        if found is None:
            return await self._created(render_job(state, images))
        if not await is_free(self._kube, ref, found, state.uid):
            return False
        if fits(found, state.plan):
            return True
        log.info("the Job %s is of another plan and is made anew", state.name)
        await self._kube.delete(ref, uid=dig_str(found, "metadata", "uid"))
        return False

    async def look(self, state: PlanState, pods: Sequence[Pod], refusal: str) -> TuningSeen:
        """What there is now. What a container has left is put on the Job, and one not worth another try is ended.

        `pods` are all of the workspace, `refusal` is why Kubernetes creates none.
        """
        job = await self.job(state)
        if job is None:
            return seen_of(None, (), refusal)
        pods = pods_of(job, pods)
        seen = seen_of(job, pods, refusal)
        if notes := await self._notes(state, seen, pods):
            job = await self._noted(state, job, notes, stop=seen.stopped)
            seen = seen_of(job, pods, refusal)
        if seen.succeeded or seen.stopped:
            return seen
        progress = await read_progress(pods[0], local=self._local) if pods and not state.plan.simulated else None
        return seen.model_copy(update={"progress": progress or seen.progress})

    async def job(self, state: PlanState) -> JsonObject | None:
        """The Job, if it is the one of the plan: one that is to be made anew says nothing of it any more."""
        found = await self._kube.get(_ref(state))
        if found is None or dig_str(found, "metadata", "deletionTimestamp"):
            return None
        ours = dig_str(found, "metadata", "labels", LABEL_OWNER_UID) == state.uid
        return found if ours and fits(found, state.plan) else None

    async def _created(self, job: JsonObject) -> bool:
        try:
            await self._kube.create(JOBS, job, manager=MANAGER)
        except Conflict:
            return False
        return True

    async def _notes(self, state: PlanState, seen: TuningSeen, pods: Sequence[Pod]) -> dict[str, str]:
        """What belongs into the Job's annotations now."""
        ended = last_end(pods)
        if ended is None or state.plan.simulated:
            return {}
        if not ended_well(ended):
            return {FAILURE: redact(seen.failure)[:LONGEST]} if seen.failure else {}
        result = read_result(ended.message) or read_result(await self._last_line(state, pods))
        return {RESULT: result.to_json().decode()} if result else {}

    async def _last_line(self, state: PlanState, pods: Sequence[Pod]) -> str:
        """Where a node keeps no last message of a container that ended well, its log has it."""
        try:
            return await self._kube.logs(state.namespace, pods[-1].metadata.name, tail_lines=1, container=CONTAINER)
        except (KubeError, TimeoutError) as error:
            log.debug("no logs of %s: %s", state.name, error)
            return ""

    async def _noted(self, state: PlanState, job: JsonObject, notes: dict[str, str], *, stop: bool) -> JsonObject:
        """Write annotations; with `stop` there is no other try: Kubernetes fails the Job, and its pods go."""
        known = {name: dig_str(job, "metadata", "annotations", name) for name in notes}
        if known == notes and not (stop and dig(job, "spec", "activeDeadlineSeconds") != OVER):
            return job
        patch: JsonObject = {"metadata": {"annotations": dict(notes), "uid": dig_str(job, "metadata", "uid")}}
        if stop:
            patch["spec"] = {"activeDeadlineSeconds": OVER}
        try:
            return await self._kube.merge_patch(_ref(state), patch)
        except (Conflict, Forbidden, Invalid, NotFound) as error:
            log.info("the Job %s is not written to: %s", state.name, error)
            return job


def _ref(state: PlanState) -> ObjectRef:
    return ObjectRef(JOBS, state.name, state.namespace)
