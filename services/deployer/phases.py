"""The steps of a pod's start, with the times that Kubernetes recorded. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.contracts.messages import Phase
from services.deployer.pods import Pod


def phases(pods: Sequence[Pod]) -> tuple[Phase, ...]:
    """The phases of each pod: waiting for its node, preparing, and from the container's start to the first token."""
    return tuple(phase for pod in sorted(pods, key=lambda p: p.metadata.name) for phase in _of(pod))


def _of(pod: Pod) -> list[Phase]:
    name, created = pod.metadata.name, pod.metadata.creation_timestamp
    scheduled, started, ready = _since(pod, "PodScheduled"), _started(pod), _since(pod, "Ready")
    steps = [(f"pod {name} waits for its node", created, scheduled)]
    if scheduled:
        steps.append((f"pod {name} pulls and prepares", scheduled, started))
    if started:
        steps.append((f"pod {name} loads the model, first token", started, ready))
    return [Phase(name=step, started_at=begin, finished_at=_not_before(begin, end)) for step, begin, end in steps]


def _since(pod: Pod, type_: str) -> datetime | None:
    condition = pod.status.condition(type_)
    return condition.last_transition_time if condition and condition.status == "True" else None


def _started(pod: Pod) -> datetime | None:
    """When the last container was started; a restart begins the phase anew."""
    running = [s.state.running for s in pod.status.container_statuses]
    times = [r.started_at for r in running if r and r.started_at]
    return max(times) if times and len(times) == len(running) else None


def _not_before(begin: datetime, end: datetime | None) -> datetime | None:
    # Kubernetes counts whole seconds, and different components write these times.
    return max(begin, end) if end else None
