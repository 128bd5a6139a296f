"""Chooses among the offers: what fits, then what is real, then what is cheapest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.contracts.base import Contract
from services.contracts.conditions import Reason
from services.contracts.offers import Offer, Offers
from services.contracts.plan import SetAside
from services.scheduler.facts import ModelFacts
from services.scheduler.known_skus import KnownSkus
from services.scheduler.refusal import Refusal
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size

OLDEST_CAPABILITY = 8.0
"""GPUs below this CUDA compute capability lack bfloat16; they are used only where the user names them."""

CPU_WEIGHTS_GIB = 4
"""The largest model that is put on a machine without a GPU unless the user asks for it."""


class Wanted(Contract):
    """What the user asks for. `model` is None for a pod of the user's own, which is not sized.

    `held` are the provider and the size of the machines that the workspace has already.
    """

    model: ModelFacts | None
    wish: Wish = Wish()
    instance_type: str | None = None
    nodes: int = 1
    provider: str | None = None
    tuning: bool = False
    held: tuple[str, str] | None = None


class Candidate(Contract):
    """An offer on which the model fits, and how."""

    provider: str
    simulated: bool
    offer: Offer
    nodes: int
    sizing: Sizing | None
    why: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def cost_per_hour(self) -> float | None:
        """US dollars an hour for all nodes, where the price is known."""
        return None if self.offer.price_per_hour is None else round(self.offer.price_per_hour * self.nodes, 4)

    @property
    def rank(self) -> tuple[bool, bool, float, float, int, float, str, str]:
        """Real before simulated, known price before unknown, cheap; then newer, fewer, smaller machines; by name."""
        cost, offer = self.cost_per_hour, self.offer
        return (
            self.simulated,
            cost is None,
            cost or 0.0,
            -(offer.cuda_compute_capability or 0.0),
            self.nodes,
            offer.gpus * offer.gpu_memory_gib or (offer.memory_gib or 0.0),
            offer.instance_type,
            self.provider,
        )


class Misfit(Contract):
    """An offer on which it cannot run, and why."""

    provider: str
    instance_type: str
    because: str


def choose(
    wanted: Wanted, offers: Sequence[Offers], aside: Sequence[SetAside], known: KnownSkus
) -> Candidate | Refusal:
    """The best candidate, or why there is none."""
    serving = [o for o in offers if wanted.provider in (None, o.provider)]
    if not serving:
        return _no_provider(wanted, offers)
    if wanted.instance_type is not None:
        return _named(wanted, wanted.instance_type, serving, known)
    barred = {(a.provider, a.instance_type) for a in aside}
    open_now = _open(serving, wanted.held)
    tried = [_try(wanted, *pair) for pair in open_now if (pair[0].provider, pair[1].instance_type) not in barred]
    candidates = sorted((c for c in tried if isinstance(c, Candidate)), key=lambda c: c.rank)
    if not candidates:
        return _nothing_fits([m for m in tried if isinstance(m, Misfit)])
    return _explained(candidates)


def _open(serving: Sequence[Offers], held: tuple[str, str] | None) -> Iterator[tuple[Offers, Offer]]:
    """The offers that may be chosen for a user who named none: not retired, not too old, with room.

    What the workspace holds itself may have used up the last of its kind; it stays open to it.
    """
    for provider in serving:
        for offer in provider.offers:
            too_old = offer.gpus and (offer.cuda_compute_capability or 0.0) < OLDEST_CAPABILITY
            room = offer.available != 0 or (provider.provider, offer.instance_type) == held
            if offer.runnable and offer.retired is None and not too_old and room:
                yield provider, offer


def _try(wanted: Wanted, provider: Offers, offer: Offer) -> Candidate | Misfit:
    if wanted.model is None:
        return Candidate(
            provider=provider.provider, simulated=provider.simulated, offer=offer, nodes=wanted.nodes, sizing=None
        )
    if because := _too_slow(wanted, offer):
        return Misfit(provider=provider.provider, instance_type=offer.instance_type, because=because)
    sizing = size(wanted.model, _machine(offer), wanted.wish)
    if isinstance(sizing, DoesNotFit):
        return Misfit(provider=provider.provider, instance_type=offer.instance_type, because=sizing.reason)
    if sizing.nodes > 1 and not provider.simulated:
        because = (
            f"{wanted.model.id} needs {sizing.nodes} nodes of {offer.instance_type}, and this version serves a model "
            "on one node."
        )
        return Misfit(provider=provider.provider, instance_type=offer.instance_type, because=because)
    return Candidate(
        provider=provider.provider,
        simulated=provider.simulated,
        offer=offer,
        nodes=1 if wanted.tuning else sizing.nodes,
        sizing=sizing,
        why=(_fits(wanted.model, offer, sizing),),
        warnings=(*sizing.warnings, *_warnings(wanted, offer, sizing.nodes)),
    )


def _too_slow(wanted: Wanted, offer: Offer) -> str | None:
    """Without a GPU a large model answers so slowly that it is not chosen for a user who did not ask for it."""
    asked = wanted.provider is not None or wanted.instance_type is not None
    if offer.gpus or asked or wanted.model is None or wanted.model.weights_gib <= CPU_WEIGHTS_GIB:
        return None
    return (
        f"{wanted.model.id} has {wanted.model.weights_gib:g} GiB of weights, and without a GPU more than "
        f"{CPU_WEIGHTS_GIB} GiB is too slow; name the provider or the size if you want it all the same."
    )


def _machine(offer: Offer) -> Machine:
    return Machine(
        gpus=offer.gpus,
        gpu_memory_gib=offer.gpu_memory_gib,
        cuda_compute_capability=offer.cuda_compute_capability,
        interconnect=offer.interconnect,
        memory_gib=offer.memory_gib or 0.0,
    )


def _fits(model: ModelFacts, offer: Offer, sizing: Sizing) -> str:
    what = f"{offer.gpus} x {offer.gpu_model}" if offer.gpus else "no GPU"
    return (
        f"{model.name} has {model.weights_gib:g} GiB of weights and serves {sizing.max_model_len} tokens of context "
        f"there ({what}, room for {sizing.kv_tokens} tokens in all, so {_often(sizing.concurrency)} at once)."
    )


def _often(concurrency: float) -> str:
    """How many requests of the longest kind fit."""
    return "one such request" if concurrency < 2 else f"{int(concurrency)} such requests"


def _warnings(wanted: Wanted, offer: Offer, nodes: int) -> Iterator[str]:
    if nodes > 1:
        yield "A model on several nodes is only rehearsed by this version, not served."
    instead = f" Use {offer.replacement} instead." if offer.replacement else ""
    if offer.retired is not None:
        yield f"{offer.instance_type} was retired by its cloud on {offer.retired.isoformat()}.{instead}"
    capability = offer.cuda_compute_capability
    if offer.gpus and capability is not None and capability < OLDEST_CAPABILITY:
        yield (
            f"{offer.gpu_model} (CUDA compute capability {capability:g}) is older than today's vLLM wants "
            f"({OLDEST_CAPABILITY:g}): no bfloat16, and newer kernels do not run.{'' if offer.retired else instead}"
        )
    if wanted.model and wanted.model.gated:
        where = "presetOptions.modelAccessSecret"
        yield f"{wanted.model.id} is gated on the Hugging Face hub: name a secret with a token in {where}."


def _explained(candidates: Sequence[Candidate]) -> Candidate:
    best = candidates[0]
    cost = "free" if not best.cost_per_hour else f"${best.cost_per_hour:g} an hour"
    if best.cost_per_hour is None:
        cost = "of unknown price"
    rivals = sum(candidate.simulated == best.simulated for candidate in candidates)
    others = f"the cheapest of {rivals} offers that fit" if rivals > 1 else "the only offer that fits"
    return best.model_copy(update={"why": (*best.why, f"It is {others}, {cost}.")})


def _named(wanted: Wanted, name: str, serving: Sequence[Offers], known: KnownSkus) -> Candidate | Refusal:
    """The user named the size: it is that one or none, from a real provider if one has it."""
    having = sorted(((p, o) for p in serving if (o := p.find(name))), key=lambda pair: pair[0].simulated)
    if not having:
        return _not_offered(name, serving, known)
    provider, offer = having[0]
    if not offer.runnable:
        because = offer.not_runnable_because or "this engine does not run there"
        return Refusal(reason=Reason.MODEL_DOES_NOT_FIT, message=f"{name} cannot be used: {because}.")
    tried = _try(wanted, provider, offer)
    if isinstance(tried, Misfit):
        return Refusal(
            reason=Reason.MODEL_DOES_NOT_FIT,
            message=f"{tried.because}{_smallest_that_fits(wanted, serving)}",
        )
    cost = "" if tried.cost_per_hour is None else f" It costs ${tried.cost_per_hour:g} an hour."
    return tried.model_copy(update={"why": (*tried.why, f"You named {offer.instance_type}.{cost}")})


def _smallest_that_fits(wanted: Wanted, serving: Sequence[Offers]) -> str:
    tried = [_try(wanted, provider, offer) for provider, offer in _open(serving, wanted.held)]
    fitting = sorted((c for c in tried if isinstance(c, Candidate)), key=lambda c: c.rank)
    if not fitting:
        return " No size on offer is large enough."
    best = fitting[0]
    nodes = "" if best.nodes == 1 else f"{best.nodes} x "
    return f" The cheapest that fits is {nodes}{best.offer.instance_type}; leave instanceType out to have it chosen."


def _not_offered(name: str, serving: Sequence[Offers], known: KnownSkus) -> Refusal:
    live = ", ".join(o.provider for o in serving)
    found = known.cloud_of(name)
    if found is not None:
        spelling, cloud = found
        return Refusal(
            reason=Reason.WAITING_FOR_PROVIDER,
            message=f"{spelling} is a size of {cloud}, but no provisioner that offers it is running. Running: {live}.",
            next_step=f"Start the provisioner for {cloud}; it is looked at again every few seconds.",
            waits=True,
        )
    near = known.similar(name, (o.instance_type for s in serving for o in s.offers))
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return Refusal(
        reason=Reason.UNKNOWN_INSTANCE_TYPE,
        message=f"No provider offers the instance type {name}, and it is in no table of known sizes.{hint} "
        f"Leave instanceType out to have the cheapest that fits chosen. Providers running: {live}.",
    )


def _no_provider(wanted: Wanted, offers: Sequence[Offers]) -> Refusal:
    live = ", ".join(o.provider for o in offers) or "none"
    who = (
        f"provider {wanted.provider}, which the annotation kaito.sh/provider names,"
        if wanted.provider
        else "a provider"
    )
    return Refusal(
        reason=Reason.WAITING_FOR_PROVIDER,
        message=f"Waiting for {who} to offer machines. Provisioners running: {live}.",
        next_step="Start a provisioner; offers are looked at again every few seconds.",
        waits=True,
    )


def _nothing_fits(misfits: Sequence[Misfit]) -> Refusal:
    if not misfits:
        return Refusal(
            reason=Reason.NO_OFFER,
            message="No offer is open now.",
            next_step="Offers are looked at again every few seconds.",
            waits=True,
        )
    closest = misfits[-1]
    return Refusal(
        reason=Reason.MODEL_DOES_NOT_FIT,
        message=f"None of the {len(misfits)} open offers fits. For example {closest.instance_type} of "
        f"{closest.provider}: {closest.because}",
        next_step="Ask for a shorter context, or start a provisioner with larger machines.",
        waits=True,
    )
