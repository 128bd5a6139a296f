"""Chooses among the offers: what fits, then what is real, then what is cheapest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.contracts.conditions import Reason
from services.contracts.offers import Offer, Offers
from services.contracts.plan import SetAside
from services.scheduler.candidates import Candidate, Misfit, Survey, Wanted, is_too_old, survey, try_offer
from services.scheduler.known_skus import KnownSkus
from services.scheduler.no_choice import no_provider, not_offered, nothing_fits
from services.scheduler.refusal import Refusal


def choose(
    wanted: Wanted, offers: Sequence[Offers], aside: Sequence[SetAside], known: KnownSkus
) -> Candidate | Refusal:
    """The best candidate, or why there is none."""
    serving = [o for o in offers if wanted.provider in (None, o.provider)]
    if not serving:
        return no_provider(wanted.provider, offers)
    if wanted.instance_type is not None:
        return _named(wanted, wanted.instance_type, serving, known)
    found = survey(wanted, serving, aside)
    if not found.candidates:
        barred = {(a.provider, a.instance_type) for a in aside}
        return nothing_fits([m for m in found.misfits if (m.provider, m.instance_type) not in barred])
    best = found.candidates[0]
    failed = [f"{a.instance_type} of {a.provider} failed ({a.code}: {a.message.rstrip('.')})" for a in aside]
    because = [f"Not taken until {aside[0].until:%H:%M} UTC or later: {'; '.join(failed)}."] if failed else []
    return replace(best, why=(*best.why, _against_rivals(found.candidates), *because))


def others(wanted: Wanted, offers: Sequence[Offers], aside: Sequence[SetAside]) -> str:
    """What else would do for a user who named a size, in a sentence; that one is in `aside`."""
    open_to_all = wanted.model_copy(update={"instance_type": None})
    serving = [o for o in offers if wanted.provider in (None, o.provider)]
    found = survey(open_to_all, serving, aside).candidates
    if not found:
        return "No other offer would do now."
    named = " or ".join(f"{at_price(c)} of {c.provider}" for c in found[:2])
    return f"{named} would do."


def at_price(candidate: Candidate) -> str:
    """The nodes of a candidate and what they cost, as in `2 x large ($7 an hour)`."""
    nodes = "" if candidate.nodes == 1 else f"{candidate.nodes} x "
    return f"{nodes}{candidate.offer.instance_type} ({_cost(candidate)})"


def _cost(candidate: Candidate) -> str:
    if candidate.cost_per_hour is None:
        return "of unknown price"
    return f"${candidate.cost_per_hour:g} an hour" if candidate.cost_per_hour else "free"


def _against_rivals(candidates: Sequence[Candidate]) -> str:
    best = candidates[0]
    rivals = [candidate for candidate in candidates if candidate.simulated == best.simulated]
    if len(rivals) == 1:
        return f"It is the only offer that fits, {_cost(best)}."
    after = f"; the next is {at_price(rivals[1])} of {rivals[1].provider}"
    return f"It is the cheapest of {len(rivals)} offers that fit, {_cost(best)}{after}."


def _named(wanted: Wanted, name: str, serving: Sequence[Offers], known: KnownSkus) -> Candidate | Refusal:
    """The user named the size: it is that one or none, from a real provider if one has it."""
    having = sorted(((p, o) for p in serving if (o := p.find(name))), key=lambda pair: pair[0].simulated)
    if not having:
        return not_offered(name, serving, known)
    provider, offer = having[0]
    if not offer.runnable:
        because = offer.not_runnable_because or "this engine does not run there"
        return Refusal(reason=Reason.MODEL_DOES_NOT_FIT, message=f"{name} cannot be used: {because}.")
    tried = try_offer(wanted, provider, offer)
    if isinstance(tried, Misfit):
        message = f"{tried.because}{_that_fits(survey(wanted, serving))}"
        return Refusal(reason=Reason.MODEL_DOES_NOT_FIT, message=message)
    cost = "" if tried.cost_per_hour is None else f" It costs {_cost(tried)}."
    return replace(
        tried,
        why=(*tried.why, f"You named {offer.instance_type}.{cost}"),
        warnings=(*tried.warnings, *_better(wanted, tried, serving)),
    )


def _that_fits(found: Survey) -> str:
    """The smallest size that is not too small, and the cheapest if that is another one."""
    if not found.candidates:
        return " No size on offer is large enough."
    cheapest = found.candidates[0]
    smallest = min(found.candidates, key=lambda c: (c.simulated, c.nodes * c.memory_gib, c.rank))
    also = "" if smallest == cheapest else f"; the cheapest is {at_price(cheapest)}"
    return f" The smallest that fits is {at_price(smallest)}{also}. Leave instanceType out to have it chosen."


def _better(wanted: Wanted, named: Candidate, serving: Sequence[Offers]) -> tuple[str, ...]:
    """What to use instead of a size that is retired, too old, or that cannot be had now."""
    offer = named.offer
    short = _is_short(wanted, named)
    if offer.retired is None and not is_too_old(offer) and not short:
        return ()
    scarce = (f"Only {offer.available} more of {offer.instance_type} can be had now (quota or capacity).",)
    instead = _instead(offer, survey(wanted, serving).candidates)
    return (*(scarce if short else ()), *((f"Use {instead} instead.",) if instead else ()))


def _is_short(wanted: Wanted, named: Candidate) -> bool:
    held = (named.provider, named.offer.instance_type) == wanted.held
    return named.offer.available is not None and not held and named.offer.available < named.nodes


def _instead(offer: Offer, open_now: Sequence[Candidate]) -> str | None:
    """The successor that the cloud names where the model fits it, else the best of all; without offers its name."""
    fitting = [c for c in open_now if c.offer.instance_type != offer.instance_type]
    successor = [c for c in fitting if c.offer.instance_type == offer.replacement]
    best = next(iter([*successor, *fitting]), None)
    return at_price(best) if best else offer.replacement
