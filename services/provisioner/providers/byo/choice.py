"""Which node a machine gets, or why it gets none, in words for the one who wrote the Workspace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from services.chassis.kube import JsonObject, dig, dig_dict, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.labels import tells_of_node
from services.contracts.offers import Offer
from services.contracts.workspace import share_label
from services.provisioner.node_facts import facts, strings
from services.provisioner.provider import InstanceSpec
from services.provisioner.providers.byo.claims import claim_of, owners_of, shares_of, taken
from services.provisioner.providers.byo.gpus import COUNT, MEMORY, PRODUCT, gpus_of, machine_of

OUR_DOMAIN: Final = "kaito.sh/"
AGAIN_SECONDS: Final = 15.0
"""To look at the nodes again costs nothing, so a refusal holds no longer than this."""


def choose(nodes: Sequence[JsonObject], spec: InstanceSpec) -> JsonObject:
    """The node to claim: a preferred one, in the order they are named in, else the first that carries the labels.

    For a share it is the node with the fewest GPUs free that are enough, so that whole nodes stay free.
    Raises `ProviderError`: no such node (InvalidRequest), or all of them taken or down (InsufficientCapacity).
    """
    suitable = [node for node in nodes if _is_meant(node, spec) and _has_size(node, spec)]
    free = [node for node in suitable if why_not(node, spec.gpus) is None and spec.owner.key not in owners_of(node)]
    if not free:
        raise _refusal(nodes, suitable, spec)
    order = {name: place for place, name in enumerate(spec.preferred_nodes)}

    def rank(node: JsonObject) -> tuple[int, int, str]:
        spare = free_gpus(node) if spec.gpus is not None else 0
        return (order.get(_name(node), len(order)), spare, _name(node))

    return min(free, key=rank)


def free_gpus(node: JsonObject) -> int:
    """GPUs of a node that nobody has claimed. Pods of others on it are not looked at."""
    return 0 if taken(node) else max(0, gpus_of(node) - sum(share.gpus or 0 for share in shares_of(node)))


def wanted_labels(spec: InstanceSpec) -> dict[str, str]:
    """The label selector of the demand: its labels without those that are ours."""
    ours = share_label(spec.owner.uid)
    return {key: value for key, value in spec.labels.items() if not key.startswith(OUR_DOMAIN) and key != ours}


def why_not(node: JsonObject, gpus: int | None = None) -> str | None:
    """Why a node cannot be had now, or that many GPUs of it; None if they are free."""
    if taken(node):
        claim = claim_of(node)
        return f"taken by {claim.owner.namespace}/{claim.owner.name}" if claim else "taken, by a record of another kind"
    shares = shares_of(node)
    if shares and gpus is None:
        return f"shared by {', '.join(f'{s.owner.namespace}/{s.owner.name}' for s in shares)}"
    if gpus is not None and free_gpus(node) < gpus:
        return f"left with {free_gpus(node)} free of {gpus_of(node)} GPUs"
    if dig_str(node, "metadata", "deletionTimestamp"):
        return "being deleted"
    if dig(node, "spec", "unschedulable") is True:
        return "cordoned"
    seen = facts(node)
    return None if seen.ready else f"not ready{f' ({seen.because})' if seen.because else ''}"


def offers(nodes: Iterable[JsonObject]) -> tuple[Offer, ...]:
    """All sizes there are, with how many free nodes of each. Nodes that share a size are offered as the least of them.

    A size stays on offer while all its nodes are taken.
    """
    least: dict[str, Offer] = {}
    for node in nodes:
        machine = machine_of(node)
        if machine is None:
            continue
        before = least.get(machine.size)
        free = (before.available or 0 if before else 0) + (why_not(node) is None)
        most = max(free_gpus(node) if why_not(node, 0) is None else 0, before.free_gpus or 0 if before else 0)
        offer = machine.offer(free, most)
        worse = before is None or (offer.gpus, offer.gpu_memory_gib) < (before.gpus, before.gpu_memory_gib)
        room = {"available": free, "free_gpus": most}
        least[machine.size] = offer if worse or before is None else before.model_copy(update=room)
    return tuple(least[size] for size in sorted(least))


def unreadable(nodes: Iterable[JsonObject]) -> tuple[str, ...]:
    """Nodes that show GPUs, but do not say which."""
    return tuple(_name(node) for node in nodes if gpus_of(node) and machine_of(node) is None)


def _refusal(nodes: Sequence[JsonObject], suitable: Sequence[JsonObject], spec: InstanceSpec) -> ProviderError:
    if suitable:
        return _none_free(nodes, suitable, spec)
    meant = [node for node in nodes if _is_meant(node, spec)]
    if not meant:
        text = f"no node carries the labels {_selector(spec)}; looked at {_count(len(nodes), 'node')}"
        text += _not_preferred(nodes, spec) if spec.preferred_nodes else ""
    elif blind := unreadable(meant):
        text = (
            f"the GPUs of {', '.join(blind)} are not known: the labels {PRODUCT} and {MEMORY} are missing "
            "(install NVIDIA's GPU Feature Discovery)"
        )
    else:
        sizes = sorted({m.size for node in meant if (m := machine_of(node))})
        has = f"they are of {', '.join(sizes)}" if sizes else f"they show no GPU (no {COUNT} label, no capacity)"
        text = f"{_count(len(meant), 'node')} with {_selector(spec)} found, none of size {spec.instance_type}: {has}"
    return ProviderError(FailureCode.INVALID_REQUEST, text, retry_after=AGAIN_SECONDS)


def _not_preferred(nodes: Sequence[JsonObject], spec: InstanceSpec) -> str:
    there = [_name(node) for node in nodes if _name(node) in spec.preferred_nodes]
    if not there:
        return f"; of the preferred nodes {', '.join(spec.preferred_nodes)} there is none"
    facts_of_nodes = ", ".join(filter(tells_of_node, wanted_labels(spec)))
    return f"; preferred are {', '.join(there)}, but {facts_of_nodes} tells what a node is, and is not changed"


def _none_free(nodes: Sequence[JsonObject], suitable: Sequence[JsonObject], spec: InstanceSpec) -> ProviderError:
    """While nodes of the size are free under other labels, this concerns nobody else: no lack of capacity then."""
    reasons = ", ".join(f"{_name(node)} is {why_not(node, spec.gpus)}" for node in suitable)
    what = "node" if spec.gpus is None else f"node with {_count(spec.gpus, 'free GPU')}"
    text = f"no {what} of size {spec.instance_type} with {_selector(spec)} is free: {reasons}"
    others = [node for node in nodes if _has_size(node, spec) and why_not(node, spec.gpus) is None]
    if not others:
        return ProviderError(FailureCode.INSUFFICIENT_CAPACITY, text, retry_after=AGAIN_SECONDS)
    text += f"; free, but without these labels: {', '.join(_name(node) for node in others)}"
    return ProviderError(FailureCode.INVALID_REQUEST, text, retry_after=AGAIN_SECONDS)


def _is_meant(node: JsonObject, spec: InstanceSpec) -> bool:
    labels = strings(dig_dict(node, "metadata", "labels"))
    lacking = [key for key, value in wanted_labels(spec).items() if labels.get(key) != value]
    if spec.gpus is not None:
        return not lacking  # to share a node is to change nothing on it, so it must carry the labels already
    # A preferred node gets the labels it lacks, but for those that say what it is.
    return not lacking or (_name(node) in spec.preferred_nodes and not any(map(tells_of_node, lacking)))


def _has_size(node: JsonObject, spec: InstanceSpec) -> bool:
    machine = machine_of(node)
    return machine is not None and machine.size.lower() == spec.instance_type.lower()


def _selector(spec: InstanceSpec) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(wanted_labels(spec).items())) or "any labels"


def _name(node: JsonObject) -> str:
    return dig_str(node, "metadata", "name")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
