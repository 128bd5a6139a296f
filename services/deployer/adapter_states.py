"""What the server tells of its adapters, and the condition that is made of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pydantic import Field, ValidationError

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.messages import PlanState
from services.deployer.adapters import adapter_list, list_revision
from services.deployer.ask import ask_pod
from services.deployer.pods import Pod
from services.deployer.redact import redact

log = logging.getLogger(__name__)

PATH: Final = "/adapters"


class AdapterPhase(StrEnum):
    """How far an adapter has come."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class AdapterState(Contract):
    """One adapter, as the server has it."""

    name: str
    state: AdapterPhase
    reason: str = Field(default="", max_length=2000)
    content: str | None = Field(default=None, alias="digest", description="Digest of the image, or of the files.")
    rank: int | None = None
    strength: float | None = None


class AdapterStates(Contract):
    """All adapters. `revision` tells which list the server has read."""

    revision: str = ""
    adapters: tuple[AdapterState, ...] = ()


async def read_adapters(state: PlanState, pods: Sequence[Pod], *, local: bool) -> AdapterStates | None:
    """Ask the first ready pod; None where there is nothing to ask for, or it does not tell."""
    if state.plan.lora is None or not state.plan.lora.adapters or state.plan.simulated:
        return None
    pod = next((pod for pod in pods if pod.status.ready), None)
    answer = await ask_pod(pod, PATH, local=local) if pod else None
    try:
        return AdapterStates.model_validate_json(answer) if answer is not None else None
    except ValidationError as error:
        log.info("what pod %s tells of its adapters cannot be read: %s", pod.metadata.name if pod else "", error)
        return None


def settled(state: PlanState, found: AdapterStates | None) -> bool:
    """Whether the server has read the present list and is done with it, be it well or not."""
    wanted = state.plan.lora.adapters if state.plan.lora else ()
    if not wanted or state.plan.simulated:
        return True
    return _is_present(state, found) and _phases(state, found) <= {AdapterPhase.READY, AdapterPhase.FAILED}


def adapters_condition(state: PlanState, found: AdapterStates | None, *, serving: bool) -> Condition | None:
    """How the adapters are; None where the workspace names none."""
    wanted = [adapter.name for adapter in state.plan.lora.adapters] if state.plan.lora else []
    if not wanted:
        return None
    if state.plan.simulated:
        return true(ConditionType.ADAPTERS_READY, Reason.SIMULATED, f"Simulated: {_named(wanted)} not loaded.")
    if not serving:
        text = f"{', '.join(wanted)}: loaded as soon as the model answers."
        return false(ConditionType.ADAPTERS_READY, Reason.ADAPTERS_LOADING, text)
    if not _is_present(state, found) or found is None:
        text = f"{', '.join(wanted)}: the server has not read this list yet. {_words(found)}"
        return false(ConditionType.ADAPTERS_READY, Reason.ADAPTERS_LOADING, text.rstrip())
    phases = _phases(state, found)
    if phases <= {AdapterPhase.READY}:
        return true(ConditionType.ADAPTERS_READY, Reason.ADAPTERS_READY, _words(found))
    reason = Reason.ADAPTER_NOT_LOADED if AdapterPhase.FAILED in phases else Reason.ADAPTERS_LOADING
    return false(ConditionType.ADAPTERS_READY, reason, _words(found))


def _is_present(state: PlanState, found: AdapterStates | None) -> bool:
    text = adapter_list(state)
    return found is not None and text is not None and found.revision == list_revision(text)


def _phases(state: PlanState, found: AdapterStates | None) -> set[AdapterPhase]:
    told = {adapter.name: adapter.state for adapter in found.adapters} if found else {}
    wanted = state.plan.lora.adapters if state.plan.lora else ()
    return {told.get(adapter.name, AdapterPhase.LOADING) for adapter in wanted}


def _words(found: AdapterStates | None) -> str:
    """A sentence for each adapter; those that are not well first, since a message may be cut short."""
    adapters = sorted(found.adapters if found else (), key=lambda a: (a.state is not AdapterPhase.FAILED, a.name))
    return " ".join(_sentence(adapter) for adapter in adapters)


def _sentence(adapter: AdapterState) -> str:
    if adapter.state is AdapterPhase.READY:
        details = [f"rank {adapter.rank}"] if adapter.rank else []
        details += [f"strength {adapter.strength:g}"] if adapter.strength is not None else []
        return f"{adapter.name} is served ({', '.join(details)})." if details else f"{adapter.name} is served."
    if adapter.state is AdapterPhase.LOADING:
        return f"{adapter.name} is being loaded." if not adapter.reason else f"{adapter.name}: {adapter.reason}"
    return f"{adapter.name} is not loaded: {redact(adapter.reason)}"


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
