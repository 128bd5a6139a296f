"""What becomes of a workspace on each offer: it fits, and how; or it does not, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.contracts.offers import Offer, Offers
from services.contracts.plan import SetAside
from services.scheduler.facts import ModelFacts
from services.scheduler.sized import sized
from services.scheduler.sizing import DoesNotFit, Machine, Sizing
from services.scheduler.sizing_tuning import TuningSize, size_tuning
from services.scheduler.wanted import Wanted as Wanted
from services.tuning.sections import TuningConfig

OLDEST_CAPABILITY = 8.0
"""GPUs below this CUDA compute capability lack bfloat16; they are used only where the user names them."""

CPU_WEIGHTS_GIB = 4
"""The largest model that is put on a machine without a GPU unless the user asks for it."""


@dataclass(frozen=True)
class Candidate:
    """An offer on which the model fits, and how. `price_per_hour` is that of one node as it is asked for."""

    provider: str
    simulated: bool
    offer: Offer
    nodes: int
    sizing: Sizing | None
    price_per_hour: float | None = None
    shares: bool = False
    """Whether it leaves the GPUs that it does not need to others."""
    why: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tuned: TuningSize | None = None
    """What it takes to tune the model; then there is no `sizing`."""

    @property
    def gpus(self) -> int:
        """GPUs that are taken on each node."""
        if self.tuned:
            return self.tuned.gpus_per_node
        return self.sizing.gpus_per_node if self.sizing else self.offer.gpus

    @property
    def cost_per_hour(self) -> float | None:
        """US dollars an hour for all nodes, where the price is known."""
        return None if self.price_per_hour is None else round(self.price_per_hour * self.nodes, 4)

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
            self.memory_gib,
            offer.instance_type,
            self.provider,
        )

    @property
    def memory_gib(self) -> float:
        """How large the machines are: the memory of the GPUs of one, or its own where it has none."""
        return self.offer.gpus * self.offer.gpu_memory_gib or (self.offer.memory_gib or 0.0)


@dataclass(frozen=True)
class Misfit:
    """An offer that is not chosen, and why. `shut` are those that are not open now, whatever the model."""

    provider: str
    offer: Offer
    because: str
    shut: bool = False
    sizing: Sizing | None = None
    """How it would run, where that alone does not settle it."""

    @property
    def instance_type(self) -> str:
        """The name of the size."""
        return self.offer.instance_type


@dataclass(frozen=True)
class Survey:
    """All offers: those that fit, best first, and those that do not, in the order they were offered."""

    candidates: tuple[Candidate, ...] = ()
    misfits: tuple[Misfit, ...] = ()


def survey(wanted: Wanted, offers: Sequence[Offers], aside: Sequence[SetAside] = ()) -> Survey:
    """Try all offers for a user who leaves the choice."""
    barred = {(a.provider, a.instance_type): a for a in aside}
    tried = [
        _if_open(wanted, provider, offer, barred.get((provider.provider, offer.instance_type)))
        for provider in offers
        for offer in provider.offers
    ]
    return Survey(
        candidates=tuple(sorted((c for c in tried if isinstance(c, Candidate)), key=lambda c: c.rank)),
        misfits=tuple(m for m in tried if isinstance(m, Misfit)),
    )


def _if_open(wanted: Wanted, provider: Offers, offer: Offer, aside: SetAside | None) -> Candidate | Misfit:
    """What the workspace holds itself may have used up the last of its kind; it stays open to it."""
    because = f"{aside.code}: {aside.message.rstrip('.')}; set aside until {aside.until:%H:%M} UTC." if aside else None
    if because := because or _shut(offer):
        return Misfit(provider.provider, offer, because, shut=True)
    held = (provider.provider, offer.instance_type) == wanted.held
    tried = try_offer(wanted, provider, offer)
    if isinstance(tried, Misfit) or held or offer.available is None:
        return tried
    if tried.shares or offer.available >= tried.nodes:
        return tried
    left = f"{offer.available} more" if offer.available else "none"
    because = f"Quota or capacity: {left} can be had now, and {tried.nodes} would be needed."
    return Misfit(provider.provider, offer, because, shut=True, sizing=tried.sizing)


def _shut(offer: Offer) -> str | None:
    """Why an offer is not chosen for a user who named none."""
    if not offer.runnable:
        return f"It cannot be used: {offer.not_runnable_because or 'this engine does not run there'}."
    if offer.retired is not None:
        return f"Retired by its cloud on {offer.retired.isoformat()}: taken only if it is named."
    if is_too_old(offer):
        return f"{offer.gpu_model} is too old (CUDA {offer.cuda_compute_capability or 0:g}): taken only if it is named."
    return None


def is_too_old(offer: Offer) -> bool:
    """Whether its GPUs are older than the engine wants."""
    return bool(offer.gpus) and (offer.cuda_compute_capability or 0.0) < OLDEST_CAPABILITY


def try_offer(wanted: Wanted, provider: Offers, offer: Offer) -> Candidate | Misfit:
    """Whether it fits one offer, be it open or not."""
    price, unsure = _price(wanted, provider, offer)
    if wanted.model is None:
        return Candidate(provider.provider, provider.simulated, offer, wanted.nodes, None, price, warnings=unsure)
    if because := _too_slow(wanted, offer):
        return Misfit(provider.provider, offer, because)
    shares = offer.shared and not wanted.whole_node
    if wanted.tuning is not None:
        return _tuned(wanted, wanted.model, wanted.tuning, provider, offer, shares=shares)
    sizing = _on_a_part(wanted, provider, offer) if shares else _size(wanted, offer, offer.gpus)
    if isinstance(sizing, DoesNotFit):
        return Misfit(provider.provider, offer, sizing.reason)
    if sizing.nodes > 1 and not provider.simulated:
        because = (
            f"{wanted.model.id} needs {sizing.nodes} nodes of {offer.instance_type}, and this version serves a model "
            "on one node."
        )
        return Misfit(provider.provider, offer, because, sizing=sizing)
    return Candidate(
        provider.provider,
        provider.simulated,
        offer,
        nodes=sizing.nodes,
        sizing=sizing,
        price_per_hour=price,
        shares=shares,
        why=(_fits(wanted.model, offer, sizing), *_neighbours(offer, sizing, shares=shares)),
        warnings=(*sizing.warnings, *_warnings(wanted, offer, sizing.nodes), *unsure),
    )


def _tuned(
    wanted: Wanted, model: ModelFacts, config: TuningConfig, provider: Offers, offer: Offer, *, shares: bool
) -> Candidate | Misfit:
    """On one node: with all its GPUs, each on its own part of the data; with one where others may use the rest."""
    gpus = min(1, offer.gpus) if shares else offer.gpus
    holds = wanted.held == (provider.provider, offer.instance_type)
    if shares and offer.free_gpus == 0 and not holds:
        return Misfit(provider.provider, offer, f"All GPUs of the nodes of {offer.instance_type} are taken.")
    size = size_tuning(model, _machine(offer, gpus), config)
    if isinstance(size, DoesNotFit):
        return Misfit(provider.provider, offer, size.reason)
    price, unsure = _price(wanted, provider, offer)
    where = f"of {'each of ' if gpus > 1 else ''}{gpus} x {offer.gpu_model}" if gpus else "of memory, and no GPU"
    why = (
        f"Tuning {model.name} takes {size.memory_gib:.1f} GiB {where}, with {size.batch} x {size.length} tokens a step."
    )
    return Candidate(
        provider.provider,
        provider.simulated,
        offer,
        nodes=1,
        sizing=None,
        price_per_hour=price,
        shares=shares,
        why=(why,),
        warnings=(*_warnings(wanted, offer, 1), *unsure),
        tuned=size,
    )


def _price(wanted: Wanted, provider: Offers, offer: Offer) -> tuple[float | None, tuple[str, ...]]:
    """What one node costs an hour as it is asked for, and what is unsure of that."""
    if provider.provider not in wanted.spot:
        return offer.price_per_hour, ()
    if offer.spot_price_per_hour is not None:
        return offer.spot_price_per_hour, ()
    if offer.price_per_hour is None:
        return None, ()
    return offer.price_per_hour, ("Its price as a spot machine is not known; the one on demand is counted.",)


def _on_a_part(wanted: Wanted, provider: Offers, offer: Offer) -> Sizing | DoesNotFit:
    """The fewest GPUs of a node that others may use as well that serve the wish."""
    holds = wanted.held == (provider.provider, offer.instance_type)
    free = offer.gpus if offer.free_gpus is None or holds else min(offer.free_gpus, offer.gpus)
    if not free:
        return DoesNotFit(reason=f"All GPUs of the nodes of {offer.instance_type} are taken.")
    counts = sorted({1 << n for n in range(free.bit_length())} | {free})
    tried = [_size(wanted, offer, gpus) for gpus in counts]
    alone = [s for s in tried if isinstance(s, Sizing) and s.nodes == 1]
    return alone[0] if alone else tried[-1]


def _size(wanted: Wanted, offer: Offer, gpus: int) -> Sizing | DoesNotFit:
    if wanted.model is None:
        raise ValueError("only a model is sized")
    return sized(wanted.model, _machine(offer, gpus), wanted.wish)


def _machine(offer: Offer, gpus: int) -> Machine:
    return Machine(
        gpus=gpus,
        gpu_memory_gib=offer.gpu_memory_gib,
        cuda_compute_capability=offer.cuda_compute_capability,
        interconnect=offer.interconnect,
        memory_gib=offer.memory_gib or 0.0,
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


def _fits(model: ModelFacts, offer: Offer, sizing: Sizing) -> str:
    what = f"{sizing.gpus_per_node} x {offer.gpu_model}" if offer.gpus else "no GPU"
    return (
        f"{model.name} has {model.weights_gib:g} GiB of weights and serves {sizing.max_model_len} tokens of context "
        f"there ({what}, room for {sizing.kv_tokens} tokens in all, so {_often(sizing.concurrency)} at once)."
    )


def _often(concurrency: float) -> str:
    """How many requests of the longest kind fit."""
    return "one such request" if concurrency < 2 else f"{int(concurrency)} such requests"


def _neighbours(offer: Offer, sizing: Sizing, *, shares: bool) -> Iterator[str]:
    """Who uses the GPUs that one replica does not need."""
    used, left = sizing.gpus_per_node, offer.gpus - sizing.gpus_per_node
    if shares and left:
        yield f"It takes {used} of the node's {offer.gpus} GPUs; others may use the rest."
    elif sizing.data_parallel > 1:
        yield f"The node is paid for whole, so {sizing.data_parallel} replicas share its {used} GPUs."
    elif left and offer.gpus:
        yield f"{left} of its {offer.gpus} GPUs are left idle: the model cannot use them."


def _warnings(wanted: Wanted, offer: Offer, nodes: int) -> Iterator[str]:
    if nodes > 1:
        yield "A model on several nodes is only rehearsed by this version, not served."
    if offer.retired is not None:
        yield f"{offer.instance_type} was retired by its cloud on {offer.retired.isoformat()}."
    if offer.cuda_compute_capability is not None and is_too_old(offer):
        yield (
            f"{offer.gpu_model} (CUDA compute capability {offer.cuda_compute_capability:g}) is older than today's vLLM "
            f"wants ({OLDEST_CAPABILITY:g}): no bfloat16, and newer kernels do not run."
        )
    if wanted.model and wanted.model.gated:
        where = "presetOptions.modelAccessSecret"
        yield f"{wanted.model.id} is gated on the Hugging Face hub: name a secret with a token in {where}."
