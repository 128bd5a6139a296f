"""What the garbage collection may take: pure decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chassis.kube import JsonObject, dig_str
from services.contracts.messages import Demand
from services.contracts.subjects import CONFORMANCE
from services.provisioner.node_facts import NodeFacts
from services.provisioner.provider import Instance, InstanceState, Owner


@dataclass(frozen=True)
class Candidate:
    """A machine, or a Node object whose machine is gone (`instance` is None then)."""

    name: str
    owner: Owner
    created_at: datetime
    instance: Instance | None


def candidates(instances: Iterable[Instance], nodes: Iterable[NodeFacts]) -> list[Candidate]:
    """All that could be collected. What is being taken down already is left alone, and so is its node."""
    instances = tuple(instances)
    machines = [Candidate(i.name, i.owner, i.created_at, i) for i in instances if i.state is not InstanceState.DELETING]
    taken = {i.name for i in instances} | {i.node_name for i in instances}
    lone = [
        Candidate(n.name, n.owner, n.created_at, None)
        for n in nodes
        if n.owner and n.created_at and n.name not in taken
    ]
    return machines + lone


def is_orphan(owner: Owner, provider: str, workspace: JsonObject | None, demand: Demand | None) -> bool:
    """Whether the owner's workspace is gone, or has gone to another provider without this one being told.

    `workspace` is the one that has the owner's name now. A missing demand alone says nothing: the bus may have
    lost everything. To let go of a workspace that lives is the loop's work, so a demand for this owner, be it of
    0 nodes, keeps the collector away. The conformance suite's demands have no Workspace behind them at all.
    """
    told = demand is not None and demand.uid == owner.uid
    if owner.namespace == CONFORMANCE:
        return not told
    if workspace is None or dig_str(workspace, "metadata", "uid") != owner.uid:
        return True
    planned = dig_str(workspace, "status", "plan", "provider")
    return planned not in ("", provider) and not told


class Sightings:
    """Orphans of the last looks. Only one that is seen twice in a row, and that is no newborn, is taken.

    Its age is how long it has been seen, by our own clock: the cloud's may be wrong by more than the grace period.
    """

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._seen: dict[tuple[str, Owner], datetime] = {}

    def confirm(self, orphans: Iterable[Candidate], now: datetime) -> list[Candidate]:
        """Those to take down now."""
        before, found = self._seen, {(c.name, c.owner): c for c in orphans}
        self._seen = {key: before.get(key, now) for key in found}
        return [c for key, c in found.items() if key in before and now - before[key] >= self._grace]

    def forget(self) -> None:
        """Begin anew: what was seen before a blackout does not count."""
        self._seen = {}
