"""Pods as far as the deployer reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from services.contracts.base import Contract

OVERDUE: Final = timedelta(minutes=1)
"""So long after the end of a pod's grace period its kubelet may take to say that it has ended."""


class Terminated(Contract):
    """A container's end."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class Waiting(Contract):
    """What a container waits for, in the node's words."""

    reason: str = ""
    message: str = ""


class Running(Contract):
    """A container that runs."""

    started_at: datetime | None = None


class ContainerState(Contract):
    """At most one of the three is set."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Contract):
    """The status of one container."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(Contract):
    """A condition of a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Owner(Contract):
    """What a pod belongs to."""

    uid: str
    controller: bool = False


class PodMetadata(Contract):
    """Name, owners, and the moments of its creation and of the request to delete it."""

    name: str
    uid: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    owner_references: tuple[Owner, ...] = ()


class PodStatus(Contract):
    """The status of a pod."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = Field(default="", alias="podIP")
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def condition(self, type_: str) -> PodCondition | None:
        """The condition of that type, if it is there."""
        return next((c for c in self.conditions if c.type == type_), None)

    @property
    def ready(self) -> bool:
        """Whether it is ready to serve."""
        found = self.condition("Ready")
        return found is not None and found.status == "True"


class PodSpec(Contract):
    """Where a pod runs."""

    node_name: str | None = None


class Pod(Contract):
    """A pod."""

    metadata: PodMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def going(self) -> bool:
        """Whether it is being ended, and another is to take its place."""
        return self.metadata.deletion_timestamp is not None

    def is_of(self, uid: str) -> bool:
        """Whether the object with that uid made it."""
        return any(owner.controller and owner.uid == uid for owner in self.metadata.owner_references)


def is_overdue(ends_by: datetime | None, now: datetime) -> bool:
    """Whether nobody says that a pod has ended, long after it had to: its node is dead, and can go.

    `ends_by` is its deletionTimestamp: the end of its grace period, None while it is to stay.
    """
    return ends_by is not None and now >= ends_by + OVERDUE
