"""What one pass over a demand has seen: the demand, the machines, their nodes, and what the cloud refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from services.contracts.base import Contract
from services.contracts.errors import Failure
from services.contracts.messages import Demand
from services.provisioner.node_facts import NodeFacts, demanded_labels
from services.provisioner.provider import Instance, InstanceState, instance_name

Stamp = tuple[str, datetime]
"""A machine or node, and the time that somebody else's clock has written on it."""


class Deadlines(Contract):
    """How long a machine may take to launch, and its node to be ready, both counted from its creation."""

    launch: timedelta = timedelta(minutes=5)
    registration: timedelta = timedelta(minutes=15)
    not_ready: timedelta = timedelta(minutes=10)
    """How long a node that has been ready may be NotReady before it is replaced."""

    def of(self, instance: Instance) -> datetime:
        """When the machine is given up, if it has come no further by then."""
        creating = instance.state is InstanceState.CREATING
        return instance.created_at + (self.launch if creating else self.registration)


@dataclass(frozen=True)
class View:
    """`instances` are all of the workspace's name, also those of an earlier uid; `nodes` are those that carry its
    labels or belong to one of the instances. `gpus` is what each node must show; `refusal` forbids new machines
    until its `retry_at`. `trouble` is what went wrong in this very pass; with `blind` the cloud did not even say
    which machines there are. `was_ready` are the machines whose nodes have been ready, `lost` those that this pass
    gives up, and why. `own_clock` says when this process first saw what others have stamped with a time that its own
    clock contradicts.
    """

    demand: Demand
    simulated: bool = False
    owns_nodes: bool = True
    instances: tuple[Instance, ...] = ()
    nodes: tuple[NodeFacts, ...] = ()
    gpus: int = 0
    refusal: Failure | None = None
    trouble: Failure | None = None
    blind: bool = False
    was_ready: frozenset[str] = frozenset()
    lost: Mapping[str, str] = field(default_factory=dict)
    own_clock: Mapping[Stamp, datetime] = field(default_factory=dict)

    @cached_property
    def wanted(self) -> tuple[str, ...]:
        """The names of the machines that are demanded, by index."""
        return tuple(instance_name(self.demand.provider, self.demand.uid, i) for i in range(self.demand.nodes))

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each node must carry."""
        return demanded_labels(self.demand, simulated=self.simulated)

    @cached_property
    def by_name(self) -> dict[str, Instance]:
        """The machines of this very owner, by name."""
        return {i.name: i for i in self.instances if i.owner.uid == self.demand.uid}

    @cached_property
    def strangers(self) -> tuple[Instance, ...]:
        """Machines of an earlier workspace that had the same name."""
        return tuple(i for i in self.instances if i.owner.uid != self.demand.uid)

    @cached_property
    def kept(self) -> tuple[Instance, ...]:
        """The demanded machines that are there and not going, by index."""
        found = (self.by_name.get(name) for name in self.wanted)
        return tuple(i for i in found if i and i.state is not InstanceState.DELETING)

    @property
    def failure(self) -> Failure | None:
        """What stands in the way now."""
        blocked = len(self.kept) < self.demand.nodes
        return self.trouble or (self.refusal if blocked else None)

    @property
    def released(self) -> bool:
        """Whether nothing is wanted, and nothing is left."""
        return self.demand.nodes == 0 and not (self.blind or self.instances or self.stray_nodes)

    def node_of(self, instance: Instance) -> NodeFacts | None:
        """The machine's node, once it has joined."""
        return next((n for n in self.nodes if n.name == instance.node_name), None)

    @cached_property
    def stray_nodes(self) -> tuple[NodeFacts, ...]:
        """Nodes whose machine is gone, and that will not be brought back under the same name."""
        if not self.owns_nodes:
            return ()
        names = {i.name for i in self.instances} | {i.node_name for i in self.instances} | set(self.wanted)
        return tuple(n for n in self.nodes if n.owner and n.owner.key == self.demand.key and n.name not in names)

    def lacking(self, node: NodeFacts) -> str:
        """What the node still lacks, in words; empty if it is ready for the workspace."""
        if not node.ready:
            return f"is not ready{f' ({node.because})' if node.because else ''}"
        if node.gpus < self.gpus:
            return f"shows {node.gpus} of {self.gpus} GPUs"
        if node.lacks(self.labels) or node.missing_taints(self.demand.taints):
            return "does not carry its labels yet"
        return ""

    def sick_until(self, instance: Instance, deadlines: Deadlines) -> datetime | None:
        """When a machine is replaced whose node has joined and is NotReady, if it does not recover by then.

        One that has never been ready has at least the time in which it must register.
        """
        node = self.node_of(instance)
        if node is None or node.ready or node.not_ready_since is None:
            return None
        until = self.counted_from(node.name, node.not_ready_since) + deadlines.not_ready
        if instance.name in self.was_ready:
            return until
        return max(until, self.began(instance) + deadlines.registration)

    def counted_from(self, name: str, at: datetime) -> datetime:
        """The time from which a deadline runs that begins with a time stamped by somebody else."""
        return self.own_clock.get((name, at), at)

    def began(self, instance: Instance) -> datetime:
        """When a machine was asked for, by our clock."""
        return self.counted_from(instance.name, instance.created_at)

    def deadline(self, instance: Instance, deadlines: Deadlines) -> datetime:
        """When a machine without a node is given up, if it has come no further by then."""
        return self.began(instance) + (deadlines.of(instance) - instance.created_at)

    def is_ready(self, instance: Instance) -> bool:
        """Whether the machine runs and its node is ready for the workspace."""
        node = self.node_of(instance)
        return instance.state is InstanceState.RUNNING and node is not None and not self.lacking(node)
