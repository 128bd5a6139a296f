"""Asks the pod that the Service leads to how its benchmark stands, and tells all pods what is wished of it.

Readiness never waits for this.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from pydantic import ValidationError

from services.chassis.kube import KubeClient
from services.contracts.conditions import ConditionType
from services.contracts.messages import PlanState, Report
from services.contracts.serving import ANNOTATION_BENCHMARK, IDLE
from services.deployer.annotate import annotate
from services.deployer.ask import ask_pod
from services.deployer.benchmark import BenchmarkState, BenchmarkTold, has_read, is_measured
from services.deployer.pods import Pod

log = logging.getLogger(__name__)

PATH: Final = "/kaitobus/benchmark"
MOST_REMEMBERED: Final = 4096
SOON: Final = 3.0
WHILE_RUNNING: Final = 10.0
WHILE_WAITING: Final = 30.0
IF_SILENT: Final = 300.0
"""Seconds between two looks: before the first answer, later by what was answered, and where nothing is.

While a server has not read what is wished they are as many as it has not for, from SOON to IF_SILENT: where pods may
not be written to, it never does.
"""


class Seen(NamedTuple):
    """What a workspace's pod told last; None if it did not. It may not have been asked yet.

    `since` is when that was wished.
    """

    pod: str
    wish: str
    since: float
    asked: bool = False
    told: BenchmarkTold | None = None


class Benchmarks:
    """What is known of each workspace whose model answers."""

    def __init__(
        self,
        kube: KubeClient,
        *,
        local: bool = False,
        default: str = IDLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`default` is the wish of a Workspace that says nothing."""
        self._kube = kube
        self._default = default
        self._clock = clock
        self._local = local
        self._seen: OrderedDict[tuple[str, str], Seen] = OrderedDict()

    def wished(self, state: PlanState) -> PlanState:
        """The same with what is wished of the benchmark in words."""
        serving = state.plan.serving
        if serving.benchmark is not None or self._default == serving.benchmark_wish:
            return state
        serving = serving.model_copy(update={"benchmark": self._default})
        return state.model_copy(update={"plan": state.plan.model_copy(update={"serving": serving})})

    async def of(self, state: PlanState, pods: tuple[Pod, ...], last: Report | None) -> BenchmarkTold | None:
        """What the first pod of the StatefulSet tells, to which the Service leads. Pods are told what is wished, and
        that one is asked, only after the model was reported to answer.
        """
        state = self.wished(state)
        pod = next((pod for pod in pods if pod.metadata.name == f"{state.name}-0" and pod.status.ready), None)
        if pod is None or not is_measured(state):
            self._seen.pop(state.key, None)
            return None
        seen, wish = self._seen.get(state.key), state.plan.serving.benchmark_wish
        seen = seen if seen and seen.pod == pod.metadata.uid else Seen(pod.metadata.uid, wish, self._clock())
        seen = seen if seen.wish == wish else seen._replace(wish=wish, since=self._clock())
        if _was_ready(state, last):
            await annotate(self._kube, state.namespace, pods, ANNOTATION_BENCHMARK, wish)
            seen = seen._replace(asked=True, told=await self._ask(pod) or seen.told)
        self._seen[state.key] = seen
        while len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return seen.told

    def again(self, state: PlanState) -> float | None:
        """Seconds until it is worth asking again; None if it is not."""
        state, seen = self.wished(state), self._seen.get(state.key)
        if seen is None:
            return None
        if not seen.asked:
            return SOON
        if seen.told is None:
            return IF_SILENT
        if not has_read(state, seen.told):
            return min(max(SOON, self._clock() - seen.since), IF_SILENT)
        return {BenchmarkState.RUNNING: WHILE_RUNNING, BenchmarkState.WAITING: WHILE_WAITING}.get(seen.told.state)

    async def _ask(self, pod: Pod) -> BenchmarkTold | None:
        answer = await ask_pod(pod, PATH, local=self._local)
        try:
            return BenchmarkTold.model_validate_json(answer) if answer is not None else None
        except ValidationError as error:
            log.info("what pod %s tells of its benchmark cannot be read: %s", pod.metadata.name, error)
            return None


def _was_ready(state: PlanState, last: Report | None) -> bool:
    """Whether the last report said of this workspace that its model answers."""
    found = last.conditions if last and last.uid == state.uid else ()
    return any(c.type is ConditionType.INFERENCE_READY and c.is_true for c in found)
