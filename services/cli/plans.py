"""What `kaitobus plan` answers: all candidates for a Workspace, and the plan that the scheduler would make. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.kube.objects import JsonObject
from services.cli.explain import Explained, explain
from services.cli.manifests import Manifest
from services.cli.offered import OWN_MACHINES, as_offered_by
from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.offers import Offers
from services.contracts.plan import Plan
from services.contracts.workspace import ANNOTATION_PROVIDER
from services.scheduler.candidates import Candidate, Misfit, Survey, Wanted, survey, try_offer
from services.scheduler.catalog import Catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.known_skus import KnownSkus
from services.scheduler.make_plan import make_plan, subject_of, wanted_of
from services.scheduler.refusal import Refusal
from services.scheduler.sizing import Sizing

WRONG = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.INVALID_CONFIG,
        Reason.UNKNOWN_PRESET,
        Reason.UNKNOWN_INSTANCE_TYPE,
    }
)
"""Reasons for which the manifest must be changed; for all others no offer fits."""
NOTHING_FOUND = Survey()
NOT_STARTED = Explained()


@dataclass(frozen=True)
class Planned:
    """The answer for one Workspace. Without a `plan`, `why_not` says why; `wrong` if the manifest is at fault."""

    where: str
    model: ModelFacts | None = None
    plan: Plan | None = None
    why_not: str = ""
    wrong: bool = False
    found: Survey = NOTHING_FOUND
    settings: Explained = NOT_STARTED
    notes: tuple[str, ...] = ()

    def is_chosen(self, candidate: Candidate) -> bool:
        """Whether the plan is by this candidate."""
        plan = self.plan
        return plan is not None and _id(candidate) == (plan.provider, plan.instance_type)

    @property
    def named(self) -> Candidate | None:
        """The candidate of the plan, where it is one that would be chosen unasked."""
        return next((c for c in self.found.candidates if self.is_chosen(c)), None)


def plan_manifest(
    manifest: Manifest,
    offers: tuple[Offers, ...],
    catalogue: Catalogue,
    known: KnownSkus,
    hub: ModelFacts | Refusal | None = None,
) -> Planned:
    """Plan one Workspace of a file. `hub` is what is known of a model that is not in the catalogue."""
    state = manifest.state
    if state is None:
        return Planned(where=manifest.where, why_not=manifest.problem or "It cannot be read.", wrong=True)
    provider = state.annotations.get(ANNOTATION_PROVIDER)
    if provider in OWN_MACHINES and all(o.provider != provider for o in offers):
        text = f"What provider {provider} has is in no table: write its offers into a file and pass --offers FILE."
        return Planned(where=manifest.where, why_not=text)
    answer = _plan(state, as_offered_by(provider, offers), catalogue, known, hub)
    return replace(answer, where=manifest.where, notes=manifest.notes)


def _plan(
    state: WorkspaceState,
    offers: Sequence[Offers],
    catalogue: Catalogue,
    known: KnownSkus,
    hub: ModelFacts | Refusal | None,
) -> Planned:
    subject = subject_of(state, catalogue, hub)
    if isinstance(subject, Refusal):
        return Planned(where="", why_not=subject.message, wrong=subject.reason in WRONG)
    wanted = wanted_of(state, subject, offers)
    serving = [o for o in offers if wanted.provider in (None, o.provider)]
    found = survey(wanted.model_copy(update={"instance_type": None}), serving)
    made = make_plan(state, offers, (), catalogue, known, hub=hub)
    if isinstance(made, Refusal):
        wrong = made.reason in WRONG
        return Planned(where="", model=subject.model, why_not=made.message, wrong=wrong, found=found)
    named = _with_the_named(found, made, wanted, serving)
    return Planned(where="", model=subject.model, plan=made, found=named, settings=explain(state, made))


def _with_the_named(found: Survey, plan: Plan, wanted: Wanted, offers: Sequence[Offers]) -> Survey:
    """The survey with the size that the user insists on, though it would not be chosen unasked."""
    chosen = (plan.provider, plan.instance_type)
    if any(_id(candidate) == chosen for candidate in found.candidates):
        return found
    tried = [try_offer(wanted, o, offer) for o in offers if o.provider == plan.provider for offer in o.offers
             if offer.instance_type == plan.instance_type]  # fmt: skip
    return Survey(
        candidates=(*(c for c in tried if isinstance(c, Candidate)), *found.candidates),
        misfits=tuple(m for m in found.misfits if _id(m) != chosen),
    )


def to_json(planned: Planned) -> JsonObject:
    """For programs: every candidate with its numbers, every other offer with the reason, and the plan."""
    return {
        "workspace": planned.where,
        "model": planned.model.id if planned.model else None,
        "fits": planned.plan is not None,
        "whyNot": planned.why_not or None,
        "notes": list(planned.notes),
        "candidates": [_row(c, chosen=planned.is_chosen(c)) for c in planned.found.candidates],
        "others": [_other(m) for m in planned.found.misfits],
        "plan": planned.plan.to_dict() if planned.plan else None,
        "engine": planned.settings.to_json(),
    }


def _id(offered: Candidate | Misfit) -> tuple[str, str]:
    return (offered.provider, offered.offer.instance_type)


def _row(candidate: Candidate, *, chosen: bool) -> JsonObject:
    offer = candidate.offer
    return {
        "chosen": chosen,
        "provider": candidate.provider,
        "instanceType": offer.instance_type,
        "simulated": candidate.simulated,
        "nodes": candidate.nodes,
        "gpuModel": offer.gpu_model,
        "gpusOfNode": offer.gpus,
        "gpusTaken": candidate.gpus,
        **(_sized(candidate.sizing) if candidate.sizing else {}),
        **({"tuningMemory": candidate.tuned.memory.to_dict()} if candidate.tuned else {}),
        "costPerHour": candidate.cost_per_hour,
        "spotPerHour": _times(offer.spot_price_per_hour, candidate.nodes),
        "priceNote": offer.price_note,
        "readySeconds": offer.ready_seconds,
        "available": offer.available,
        "warnings": list(candidate.warnings),
    }


def _sized(sizing: Sizing) -> JsonObject:
    return {
        "tensorParallel": sizing.tensor_parallel,
        "pipelineParallel": sizing.pipeline_parallel,
        "dataParallel": sizing.data_parallel,
        "expertParallel": sizing.expert_parallel,
        "maxModelLen": sizing.max_model_len,
        "concurrency": round(sizing.concurrency, 2),
        "memory": {
            "weightsGib": round(sizing.weights_gib, 3),
            "activationGib": round(sizing.activation_gib, 3),
            "nonTorchGib": round(sizing.non_torch_gib, 3),
            "graphsGib": round(sizing.graphs_gib, 3),
            "kvCacheGib": round(sizing.kv_cache_gib, 3),
            "kvTokens": sizing.kv_tokens,
            "totalGib": round(sizing.total_gib, 3),
        },
    }


def _other(misfit: Misfit) -> JsonObject:
    nodes = {"nodes": misfit.sizing.nodes} if misfit.sizing else {}
    return {"provider": misfit.provider, "instanceType": misfit.instance_type, "because": misfit.because, **nodes}


def _times(price: float | None, nodes: int) -> float | None:
    return None if price is None else round(price * nodes, 4)
