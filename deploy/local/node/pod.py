"""The parts of a Pod that this node reads, named as in the Kubernetes API. Frozen; unknown fields are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from deploy.local.node.pod_container import Container
from deploy.local.node.pod_volume import Volume
from services.contracts.base import Contract

Policy = Literal["Always", "OnFailure", "Never"]


class Metadata(Contract):
    """Who the pod is."""

    name: str
    namespace: str = "default"
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None


class PodSpec(Contract):
    """What the pod shall be."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: Policy = "Always"
    node_name: str = ""
    hostname: str = ""
    service_account_name: str = "default"
    termination_grace_period_seconds: int = 30


class ReportedContainer(Contract):
    """What the API server was told last about a container."""

    name: str
    ready: bool = False
    started: bool = False


class Condition(Contract):
    """A condition of a pod or a node. Times stay text: they are only passed on."""

    type: str
    status: str = "Unknown"
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    last_probe_time: str | None = None
    last_heartbeat_time: str | None = None


class ReportedStatus(Contract):
    """What the API server was told last about the pod, by this agent, an earlier one, or the scheduler."""

    phase: str = "Pending"
    conditions: tuple[Condition, ...] = ()
    start_time: str | None = None
    init_container_statuses: tuple[ReportedContainer, ...] = ()
    container_statuses: tuple[ReportedContainer, ...] = ()


class Pod(Contract):
    """A pod that is bound to this node."""

    metadata: Metadata
    spec: PodSpec
    status: ReportedStatus = ReportedStatus()

    @property
    def title(self) -> str:
        """Namespace and name, as people write it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def deleted(self) -> bool:
        """Whether somebody has asked for its end."""
        return self.metadata.deletion_timestamp is not None

    @property
    def finished(self) -> bool:
        """Whether it is over for good and nothing of it may run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def grace_seconds(self) -> int:
        """How long its containers have between SIGTERM and SIGKILL."""
        asked = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if asked is None else asked

    def reported(self, container: str) -> ReportedContainer:
        """What the API server was told last about one of its containers."""
        told = (one for one in self.status.container_statuses if one.name == container)
        return next(told, ReportedContainer(name=container))
