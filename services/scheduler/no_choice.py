"""Why nothing can be chosen, in words for the one who wrote the Workspace. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.conditions import Reason
from services.contracts.offers import Offers
from services.scheduler.candidates import Misfit
from services.scheduler.known_skus import KnownSkus
from services.scheduler.refusal import Refusal

MOST_EXAMPLES = 3
"""Offers whose reasons are told; the rest is counted."""


def not_offered(name: str, serving: Sequence[Offers], known: KnownSkus) -> Refusal:
    """Nobody offers the named size now, or it is none."""
    live = ", ".join(o.provider for o in serving)
    found = known.cloud_of(name)
    if found is not None:
        return _known_but_not_offered(*found, [o.provider for o in serving])
    near = known.similar(name, (o.instance_type for s in serving for o in s.offers))
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return Refusal(
        reason=Reason.UNKNOWN_INSTANCE_TYPE,
        message=f"No provider offers the instance type {name!r}, and it is in no table of known sizes.{hint} "
        f"Leave instanceType out to have the cheapest that fits chosen. Providers running: {live}.",
    )


def _known_but_not_offered(size: str, cloud: str, running: Sequence[str]) -> Refusal:
    """A provisioner of that very cloud may be there, whose region does not sell the size."""
    if cloud in running:
        return Refusal(
            reason=Reason.WAITING_FOR_PROVIDER,
            message=f"{cloud} is running, but does not offer {size} now: its region does not sell it, or not to this "
            "subscription.",
            next_step="Name another instanceType, or none to have one chosen; offers are looked at again every few "
            "seconds.",
            waits=True,
        )
    return Refusal(
        reason=Reason.WAITING_FOR_PROVIDER,
        message=f"{size} is a size of {cloud}, but no provisioner that offers it is running. "
        f"Running: {', '.join(running)}.",
        next_step=f"Start the provisioner for {cloud}; it is looked at again every few seconds.",
        waits=True,
    )


def no_provider(named: str | None, offers: Sequence[Offers]) -> Refusal:
    """No provisioner is there, or not the one that is asked for."""
    live = ", ".join(o.provider for o in offers) or "none"
    who = f"provider {named}, which the annotation kaito.sh/provider names," if named else "a provider"
    return Refusal(
        reason=Reason.WAITING_FOR_PROVIDER,
        message=f"Waiting for {who} to offer machines. Provisioners running: {live}.",
        next_step="Start a provisioner; offers are looked at again every few seconds.",
        waits=True,
    )


def nothing_fits(misfits: Sequence[Misfit]) -> Refusal:
    """All offers were tried. The nearest to fitting are told: those that are merely not to be had now come first."""
    if not any(not m.shut for m in misfits):
        return Refusal(
            reason=Reason.NO_OFFER,
            message=f"No offer is open now.{_examples(misfits)}",
            next_step="Offers are looked at again every few seconds.",
            waits=True,
        )
    tried = [m for m in misfits if not m.shut]
    largest = max(tried, key=lambda m: (m.offer.gpus * m.offer.gpu_memory_gib, m.offer.memory_gib or 0.0))
    return Refusal(
        reason=Reason.MODEL_DOES_NOT_FIT,
        message=f"None of the {len(tried)} open offers fits. The largest is {largest.instance_type} of "
        f"{largest.provider}: {largest.because}",
        next_step="Ask for a shorter context, or start a provisioner with larger machines.",
        waits=True,
    )


def _examples(misfits: Sequence[Misfit]) -> str:
    told = [f" {m.instance_type} of {m.provider}: {m.because}" for m in misfits[:MOST_EXAMPLES]]
    more = len(misfits) - len(told)
    return "".join(told) + (f" And {more} more." if more > 0 else "")
