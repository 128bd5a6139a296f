"""Which servers are started anew only because this deployer renders them in another way, and when. Pure.

Two digests stand in a StatefulSet's annotations: of what was asked for, and of the pods' template that was made of it.
Where only the template is another, the deployer is: that is an upgrade, and waits for its turn. What a user changes
never waits. All that is decided on is in the cluster, so it outlives the deployer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from services.chassis.kube import JsonObject, Key, dig, dig_int, dig_str
from services.contracts.messages import PlanState
from services.contracts.plan import Plan

ASKED: Final = "kaito.sh/asked"
TEMPLATE: Final = "kaito.sh/template"
SINCE: Final = "kaito.sh/upgraded-at"
"""Annotation of a StatefulSet whose server was started anew by an upgrade: when that began."""
LIMIT: Final = timedelta(minutes=30)
"""A server that is not ready again after so long does not keep the others waiting any more."""

_NOT_ASKED: Final[frozenset[str]] = frozenset(
    {"revision", "why", "warnings", "set_aside", "providers", "inputs", "prediction", "cost_per_hour", "fixed", "lora"}
)
"""Fields of a plan that change without the pods' being meant. Adapters come and go while the server runs."""


def digests(state: PlanState, workload: JsonObject) -> dict[str, str]:
    """Both digests by their annotations."""
    return {ASKED: _digest(_asked(state.plan)), TEMPLATE: _digest(dig(workload, "spec", "template"))}


def _asked(plan: Plan) -> object:
    """A field that a later version adds changes nothing while it has its default."""
    serving = plan.serving.model_copy(update={"benchmark": None, "benchmark_fault": None})
    engine = plan.engine.model_copy(update={"reasons": {}}) if plan.engine else None
    asked = plan.model_copy(update={"serving": serving, "engine": engine})
    lora = [plan.lora.pull_secrets, sorted(plan.lora.volumes)] if plan.lora else None
    return [asked.model_dump(mode="json", exclude_defaults=True, exclude=set(_NOT_ASKED)), lora]


def is_upgrade(found: JsonObject | None, wanted: Mapping[str, str]) -> bool:
    """Whether only the template is another. One without digests is of before there were any."""
    there = {name: _mark(found, name) for name in wanted}
    return there[TEMPLATE] != wanted[TEMPLATE] and there[ASKED] in ("", wanted[ASKED])


def marks(found: JsonObject | None, wanted: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The annotations with which the workload is written: the digests, and since when an upgrade is under way."""
    if is_upgrade(found, wanted):
        return {**wanted, SINCE: now.isoformat(timespec="seconds")} if serves(found) else dict(wanted)
    since = _mark(found, SINCE)
    return {**wanted, SINCE: since} if since and _mark(found, TEMPLATE) == wanted[TEMPLATE] else dict(wanted)


def next_turns(
    sets: Mapping[Key, JsonObject], waiting: Iterable[Key], given: Iterable[Key], at_once: int, now: datetime
) -> list[Key]:
    """Who may go on, of those that wait, in their order. `given` have their turn, and may not show it yet.

    One that serves nobody waits for nobody.
    """
    taken = set(given)
    here = [key for key in waiting if key in sets and key not in taken]
    down = [key for key in here if not serves(sets[key])]
    busy = {key for key, found in sets.items() if is_under_way(found, now)} | taken
    return down + [key for key in here if key not in down][: max(0, at_once - len(busy))]


def is_under_way(found: JsonObject, now: datetime) -> bool:
    """Whether an upgrade has started its server anew and it is not ready again, for no longer than LIMIT."""
    try:
        since = datetime.fromisoformat(_mark(found, SINCE))
        return now - since < LIMIT and not _is_settled(found)
    except (ValueError, TypeError):
        return False  # no such annotation, or not ours


def serves(found: JsonObject | None) -> bool:
    """Whether a pod of it is ready."""
    return bool(dig_int(found, "status", "readyReplicas"))


def marked(workload: JsonObject, annotations: Mapping[str, str]) -> JsonObject:
    """The workload with annotations."""
    metadata = workload["metadata"]
    there = metadata if isinstance(metadata, dict) else {}
    return {**workload, "metadata": {**there, "annotations": dict(annotations)}}


def has_template(found: JsonObject | None, wanted: Mapping[str, str]) -> bool:
    """Whether it was made from this very template."""
    return _mark(found, TEMPLATE) == wanted[TEMPLATE]


def _is_settled(found: JsonObject) -> bool:
    wanted = dig_int(found, "spec", "replicas") or 0
    seen = (dig_int(found, "status", "observedGeneration") or 0) >= (dig_int(found, "metadata", "generation") or 0)
    counts = (dig_int(found, "status", name) or 0 for name in ("readyReplicas", "updatedReplicas"))
    return seen and all(count >= wanted for count in counts)


def _mark(found: JsonObject | None, name: str) -> str:
    return dig_str(found, "metadata", "annotations", name)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
