"""What a provider must be able to do. This protocol and the typed errors are all that the loop knows of a cloud."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.errors import Failure
from services.contracts.identity import short_uid
from services.contracts.messages import Demand
from services.contracts.offers import Offer

Key = tuple[str, str]
"""Namespace and name of a workspace."""


class Owner(Contract):
    """The workspace that a machine belongs to. A provider keeps all three with the machine: as tags, or labels."""

    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, demand: Demand) -> Owner:
        """The workspace that demands."""
        return cls(namespace=demand.namespace, name=demand.name, uid=demand.uid)

    @property
    def key(self) -> Key:
        """Namespace and name: shared by workspaces that follow each other under one name."""
        return (self.namespace, self.name)


class InstanceState(StrEnum):
    """Where a machine stands, as its cloud says. `running` does not yet mean that its node has joined."""

    CREATING = "creating"
    RUNNING = "running"
    FAILED = "failed"
    DELETING = "deleting"


class InstanceSpec(Contract):
    """A machine that is wanted. `name` is the idempotency key: it is derived, so asking twice gives one machine.

    A cloud whose names are shorter derives its own from `name`, always the same.
    """

    name: str
    owner: Owner
    instance_type: str
    gpus: int | None = None
    """Set where a node may be shared, and its other GPUs go to others. Only for sizes that are offered as `shared`."""
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """As kubectl writes them: key=value:Effect, or key:Effect."""
    disk_gib: int = 0
    image_family: str | None = None
    preferred_nodes: tuple[str, ...] = ()
    parameters: dict[str, str] = Field(default_factory=dict)


class Instance(Contract):
    """A machine that exists. `node_name` is told as soon as it is known; `failure` goes with the state failed."""

    id: str
    name: str
    owner: Owner
    instance_type: str
    created_at: datetime
    launched_at: datetime | None = None
    state: InstanceState
    detail: str = ""
    """What it is doing, in words that do not change from second to second."""
    failure: Failure | None = None
    node_name: str | None = None
    gpus: int | None = None
    """As in its spec."""


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


class Provider(Protocol):
    """One cloud. Every method may be called by several tasks and processes at once, and any number of times.

    Methods raise `ProviderError` with the cloud's own words, and nothing else. None of them waits for a
    machine: what takes long is submitted, and `list` shows how far it is.
    """

    @property
    def name(self) -> str:
        """The name in subjects, offers and settings."""

    @property
    def simulated(self) -> bool:
        """Whether its machines are only acted."""

    @property
    def owns_nodes(self) -> bool:
        """Whether a machine's Node object goes with the machine. False where existing nodes are only lent."""

    async def offers(self) -> tuple[Offer, ...]:
        """What can be had, at what price."""

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The machines of one workspace, whatever its uid, or all that carry any owner.

        A machine whose creation has been answered must be in it, until it is gone for good.
        """

    async def create(self, spec: InstanceSpec) -> Instance:
        """Ask for a machine, or adopt the one that has the name already."""

    async def delete(self, instance: Instance) -> None:
        """Ask for a machine to be taken down. One that is gone, or going, is no error."""


@runtime_checkable
class Background(Protocol):
    """What a provider may have beside: work of its own for as long as the process runs."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def problem(self) -> str | None:
        """What keeps it from working, in a sentence; None if nothing does."""


@runtime_checkable
class Unhurried(Protocol):
    """What a provider may have beside: deadlines of its own, where its cloud by nature takes longer, or less long."""

    @property
    def deadlines(self) -> Deadlines:
        """How long its machines may take, unless the process is set otherwise."""


@runtime_checkable
class Watching(Protocol):
    """What a provider may have beside: its cloud tells it of changes, so that nobody needs to ask.

    A provider without it is asked what it has, once for all workspaces, every few seconds while anything is awaited.
    """

    async def watch(self, changed: Callable[[Key], None], /) -> None:
        """Call `changed` with each workspace whose machines are not as they were, until cancelled. Never raises.

        Once too often does no harm. Nodes that carry the provider's label are watched by the loop itself.
        """


def instance_name(provider: str, uid: str, index: int) -> str:
    """The name of a workspace's machine number `index`: the same whenever and wherever it is derived."""
    return f"{provider}-{short_uid(uid)}-{index}"
