"""Decides on the plan of a workspace. Pure: the same inputs give the same decision.

A plan is sticky. It stands while what it was made from is the same, and it changes only when the user
changes the spec, or when its offer failed and the user left the choice to us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.errors import Failure
from services.contracts.messages import Report, WorkspaceState
from services.contracts.model_source import BadSource
from services.contracts.offers import Offers
from services.contracts.plan import Plan, SetAside, Workload
from services.contracts.serving import (
    ANNOTATION_BENCHMARK,
    ANNOTATION_DISABLE_BENCHMARK,
    benchmark_of,
)
from services.contracts.subjects import ServiceName
from services.scheduler.catalog import Catalogue
from services.scheduler.choose import others
from services.scheduler.facts import ModelFacts
from services.scheduler.known_skus import KnownSkus
from services.scheduler.lora import named_adapters, with_adapters, without_adapters
from services.scheduler.make_plan import make_plan, subject_of, wanted_of
from services.scheduler.refusal import Refusal

SET_ASIDE_FOR: Final = timedelta(minutes=10)
"""How long an offer that failed is not planned again."""
WAIT_FOR_OFFERS: Final = 5.0
HOT: Final = frozenset({ANNOTATION_BENCHMARK, ANNOTATION_DISABLE_BENCHMARK})
"""Annotations that change nothing of nodes and engine."""
SOONEST: Final = 0.5
"""Seconds that pass at least before a workspace is looked at again."""


class Decision(Contract):
    """What to publish: the plan if there is one, and the condition that tells of it."""

    plan: Plan | None
    condition: Condition
    next_step: str | None = None
    again: float | None = None
    """Seconds until it is worth looking again though nothing happens."""


def decide(
    state: WorkspaceState,
    previous: Plan | None,
    offers: Sequence[Offers],
    catalogue: Catalogue,
    known: KnownSkus,
    reports: Sequence[Report],
    now: datetime,
    hub: ModelFacts | Refusal | None = None,
) -> Decision:
    """Keep the previous plan, make a new one, or say why there can be none.

    `offers` are those of the providers that are there now. `hub` is what is known of a model that is not in the
    catalogue.
    """
    inputs, failure = digest(state), spent(previous, reports)
    if previous is not None and stands(state, previous, reports):
        kept = _kept(previous, state, now)
        return kept if failure is None else _insisted(kept, state, previous, failure, offers, catalogue, hub, now)
    aside = _set_aside(previous, failure if previous and previous.inputs == inputs else None, now)
    made = make_plan(state, offers, aside, catalogue, known, held=previous, hub=hub)
    if isinstance(made, Refusal):
        return _refused(made, previous, aside, now)
    return _planned(_follow(previous, made.model_copy(update={"inputs": inputs, "set_aside": aside})))


def stands(state: WorkspaceState, plan: Plan | None, reports: Sequence[Report]) -> bool:
    """Whether the plan is kept: it was made from the same, and its offer did not fail, or the user insists on it.

    Other adapters do not end it, but for the first one, for which the server has no room yet.
    """
    if plan is None or plan.inputs != digest(state) or (plan.lora is None and named_adapters(state)):
        return False
    if plan.workload is Workload.TUNING and plan.tuning is None:
        return False  # of a version that did not tune
    return state.spec.resource.instance_type is not None or spent(plan, reports) is None


def digest(state: WorkspaceState) -> str:
    """A digest of what a plan depends on. The message's version, a plan of before and adapters are not part of it.

    Nor is the wish for a benchmark, which a running server is told.
    """
    relevant = {key: value for key, value in state.annotations.items() if "kaito.sh/" in key and key not in HOT}
    spec = without_adapters(state.spec)
    text = [spec.digest(), *(f"{k}={v}" for part in (relevant, state.configs) for k, v in sorted(part.items()))]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


def spent(plan: Plan | None, reports: Sequence[Report]) -> Failure | None:
    """The failure for which another offer should be tried, if the present plan's provider reports one."""
    for report in reports:
        current = plan is not None and report.provider == plan.provider and report.plan_revision == plan.revision
        if (
            current
            and report.service is ServiceName.PROVISIONER
            and report.failure
            and report.failure.code.spends_offer
        ):
            return report.failure
    return None


def _set_aside(previous: Plan | None, failure: Failure | None, now: datetime) -> tuple[SetAside, ...]:
    """The offers that are not to be planned now: those of before that still count, and the one that just failed."""
    kept = [aside for aside in previous.set_aside if aside.until > now] if previous else []
    if previous is not None and failure is not None:
        kept = [a for a in kept if (a.provider, a.instance_type) != (previous.provider, previous.instance_type)]
        kept.append(
            SetAside(
                provider=previous.provider,
                instance_type=previous.instance_type,
                code=failure.code,
                message=failure.message,
                until=now + SET_ASIDE_FOR,
            )
        )
    return tuple(kept)


def _follow(previous: Plan | None, plan: Plan) -> Plan:
    """Number the new plan, and remember every provider that was asked before."""
    if previous is None:
        return plan.model_copy(update={"revision": 1, "providers": (plan.provider,)})
    providers = tuple(dict.fromkeys((*previous.providers, plan.provider)))
    return plan.model_copy(update={"revision": previous.revision + 1, "providers": providers})


def _kept(plan: Plan, state: WorkspaceState, now: datetime) -> Decision:
    """The plan of before, with the adapters and the wish for a benchmark of now. It goes on as it was where adapters
    cannot be read.
    """
    benchmark, fault = benchmark_of(state.annotations)
    serving = plan.serving.model_copy(update={"benchmark": benchmark, "benchmark_fault": fault})
    try:
        wanted = with_adapters(plan, state).model_copy(update={"serving": serving})
    except BadSource as error:
        return _refused(Refusal(reason=Reason.INVALID_SPEC, message=str(error)), plan, (), now)
    return _planned(plan if wanted == plan else _follow(plan, wanted))


def _planned(plan: Plan) -> Decision:
    simulated = "Simulated: " if plan.simulated else ""
    nodes = "1 node" if plan.nodes == 1 else f"{plan.nodes} nodes"
    text = f"{simulated}{nodes} of {plan.instance_type} from provider {plan.provider}. {' '.join(plan.reasons)}"
    warnings = f" Warning: {' '.join(plan.warnings)}" if plan.warnings else ""
    return Decision(plan=plan, condition=true(ConditionType.PLAN_READY, Reason.PLANNED, f"{text}{warnings}"))


def _insisted(
    kept: Decision,
    state: WorkspaceState,
    plan: Plan,
    failure: Failure,
    offers: Sequence[Offers],
    catalogue: Catalogue,
    hub: ModelFacts | Refusal | None,
    now: datetime,
) -> Decision:
    """The offer failed, and the user named it: the plan stands, and it is told what else would do."""
    subject = subject_of(state, catalogue, hub)
    if isinstance(subject, Refusal):
        return kept
    instead = others(wanted_of(state, subject, offers, plan), offers, _set_aside(plan, failure, now))
    next_step = (
        f"{plan.instance_type} is what you named, so no other size is tried. {instead} instanceType cannot be changed: "
        "delete the Workspace and apply it with another one, or with none to have it chosen."
    )
    told = kept.condition.model_copy(update={"message": f"{kept.condition.message} {next_step}"[:4096]})
    return kept.model_copy(update={"condition": told, "next_step": next_step})


def _refused(refusal: Refusal, previous: Plan | None, aside: Sequence[SetAside], now: datetime) -> Decision:
    """No plan can be made. What was planned before stays: it may be serving."""
    tried = "".join(f" {a.instance_type} of {a.provider} failed: {a.message}" for a in aside)
    again = min([(a.until - now).total_seconds() for a in aside], default=None)
    if refusal.waits:
        again = refusal.again or WAIT_FOR_OFFERS
    return Decision(
        plan=previous,
        condition=false(ConditionType.PLAN_READY, refusal.reason, f"{refusal.message}{tried}"),
        next_step=refusal.next_step,
        again=max(SOONEST, again) if again is not None else None,
    )
