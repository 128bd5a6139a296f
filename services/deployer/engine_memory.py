"""Asks a ready pod what its engine measured. Once for each pod: it does not change while the engine runs."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from pydantic import ValidationError

from services.contracts.messages import PlanState
from services.contracts.performance import Performance
from services.contracts.plan import Workload
from services.deployer.ask import ask_pod
from services.deployer.pods import Pod
from services.deployer.prediction import EngineMemory, compare, performance

log = logging.getLogger(__name__)

PATH: Final = "/kaitobus/memory"
MOST_TRIES: Final = 5
MOST_REMEMBERED: Final = 4096
BUCKETS: Final = (-0.5, -0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2, 0.5)


class EngineMemories:
    """What the engines measured, by pod. `local` is set where pods run on this machine's own network."""

    def __init__(self, registry: CollectorRegistry, *, local: bool = False) -> None:
        self._local = local
        self._known: OrderedDict[str, Performance] = OrderedDict()
        self._tries: OrderedDict[str, int] = OrderedDict()
        self._error = Histogram(
            "kaitobus_prediction_error",
            "How far a plan's memory was off what the engine measured, as a share of it; below zero it was too small.",
            ["part"],
            buckets=BUCKETS,
            registry=registry,
        )

    async def of(self, state: PlanState, pods: tuple[Pod, ...]) -> Performance | None:
        """The figures of the plan's first pod, if it serves a model of ours and tells; else None."""
        pod = next((pod for pod in pods if pod.status.ready), None)
        if pod is None or state.plan.simulated or state.plan.workload is not Workload.INFERENCE:
            return None
        key = f"{pod.metadata.uid}:{state.plan.revision}"
        if key not in self._known and self._may_try(key):
            await self._learn(key, state, pod)
        return self._known.get(key)

    def wants_more(self, state: PlanState, pods: tuple[Pod, ...]) -> bool:
        """Whether a ready pod has not told yet, and is worth another try."""
        keys = (f"{pod.metadata.uid}:{state.plan.revision}" for pod in pods if pod.status.ready)
        return any(key not in self._known and 0 < self._tries.get(key, 0) < MOST_TRIES for key in keys)

    def _may_try(self, key: str) -> bool:
        self._tries[key] = self._tries.get(key, 0) + 1
        while len(self._tries) > MOST_REMEMBERED:
            self._tries.popitem(last=False)
        return self._tries[key] <= MOST_TRIES

    async def _learn(self, key: str, state: PlanState, pod: Pod) -> None:
        memory = await read_memory(pod, local=self._local)
        if memory is None or (found := performance(memory, state.plan.prediction)) is None:
            return
        self._known[key] = found
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        for compared in compare(memory, state.plan.prediction):
            if compared.error is not None:
                self._error.labels(compared.part).observe(compared.error)


async def read_memory(pod: Pod, *, local: bool) -> EngineMemory | None:
    """Ask one pod. None if it does not tell: it may serve an older image, or be out of reach."""
    answer = await ask_pod(pod, PATH, local=local)
    try:
        return EngineMemory.model_validate_json(answer) if answer is not None else None
    except ValidationError as error:
        log.info("pod %s does not tell its engine's memory: %s", pod.metadata.name, error)
        return None
