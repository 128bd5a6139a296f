"""The messages of the control path. Each carries a state: what something wants now, or has now.

Every message names the workspace by uid and generation, and the plan it belongs to by revision, so that a
reader can drop what is older than what it has seen. The newest message on a subject is all that counts.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.contracts import subjects
from services.contracts.base import Contract
from services.contracts.conditions import Condition
from services.contracts.errors import Failure
from services.contracts.performance import Performance
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.contracts.tuning import TuningProgress
from services.contracts.workspace import WorkspaceSpec


class Message(Contract):
    """What every message carries about the workspace it belongs to."""

    namespace: str
    name: str
    uid: str
    generation: int

    @property
    def subject(self) -> str:
        """The subject it is published on."""
        raise NotImplementedError  # each message has its own; the base is never published

    @property
    def message_id(self) -> str:
        """The Nats-Msg-Id: equal for a message that says the same again."""
        return f"{self.uid}:{self.generation}:{self.digest()}"

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.namespace, self.name)


class WorkspaceState(Message):
    """What a user wants now, with all that a plan may depend on. Published by the watcher.

    `configs` holds the content of the ConfigMap that the spec names. Of secrets only their presence is
    told. `plan` is the plan as it stands in the status, so that a scheduler that lost everything goes on
    with it. `deleting` means that the workspace must be taken down. `held` means that our
    finalizer keeps it until all is taken down. Before that it may get a workload, which Kubernetes ends with it, and no
    machines.
    """

    resource_version: str
    spec: WorkspaceSpec
    annotations: dict[str, str] = Field(default_factory=dict)
    configs: dict[str, str] = Field(default_factory=dict)
    plan: Plan | None = None
    deleting: bool = False
    held: bool = True
    created_at: datetime

    @property
    def subject(self) -> str:
        """`kaito.workspace.<ns>.<name>`."""
        return subjects.workspace(self.namespace, self.name)

    @property
    def message_id(self) -> str:
        """`uid:generation:resourceVersion`, and what may change while the resourceVersion does not.

        That is the content of ConfigMaps, and that the object is gone without ever having been seen to be deleted.
        """
        parts = [self.uid, str(self.generation), self.resource_version]
        if self.configs:
            parts.append(self.digest())
        if self.deleting:
            parts.append("deleting")
        return ":".join(parts)


class PlanState(Message):
    """The plan of a workspace. Published by the scheduler, obeyed by the deployer.

    `retired` means that the workload must go.
    """

    plan: Plan
    retired: bool = False

    @property
    def subject(self) -> str:
        """`kaito.plan.<ns>.<name>`."""
        return subjects.plan(self.namespace, self.name)

    @property
    def message_id(self) -> str:
        """`uid:generation:plan revision`, and whether it is retired."""
        return f"{self.uid}:{self.generation}:{self.plan.revision}" + (":retired" if self.retired else "")


class Demand(Message):
    """How many nodes a workspace wants of one provider. 0 tells the provider to let go of all.

    The workspace's uid is the idempotency key: the same demand twice gives the same nodes. Nodes must carry
    `labels` and `taints` and belong to the owner `uid`. `gpus` is set where the workspace shares its nodes with others,
    and is then what it takes of each; only what is offered as `shared` is demanded so.
    """

    plan_revision: int
    provider: str
    nodes: int = Field(ge=0)
    instance_type: str
    gpus: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    disk_gib: int = 0
    image_family: str | None = None
    preferred_nodes: tuple[str, ...] = ()
    parameters: dict[str, str] = Field(default_factory=dict)
    """Annotations of the workspace under `<provider>.kaito.sh/`, which only that provider understands."""

    @property
    def subject(self) -> str:
        """`kaito.demand.<provider>.<ns>.<name>`."""
        return subjects.demand(self.provider, self.namespace, self.name)

    @property
    def message_id(self) -> str:
        """`uid:generation:plan revision:provider:nodes`."""
        return f"{self.uid}:{self.generation}:{self.plan_revision}:{self.provider}:{self.nodes}"


class Phase(Contract):
    """A step on the way, with the times at which it began and ended (UTC)."""

    name: str
    started_at: datetime
    finished_at: datetime | None = None
    detail: str = ""


class NodeReport(Contract):
    """One node as its provider sees it."""

    name: str
    ready: bool = False
    detail: str = ""


class Report(Message):
    """What a service has for a workspace now: conditions, phases, failures. Published by each service.

    `released` says that nothing is left: no workload (deployer), no node (provisioner), or neither and no
    demand (scheduler). `next_step` says in words what happens next, and `next_at` when.
    """

    service: ServiceName
    plan_revision: int = 0
    provider: str | None = None
    conditions: tuple[Condition, ...] = ()
    phases: tuple[Phase, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    failure: Failure | None = None
    endpoint: str | None = None
    performance: Performance | None = None
    """What the engine measured, beside what was planned. Of the deployer only."""
    tuning: TuningProgress | None = None
    """How far fine-tuning has come. Of the deployer only."""
    released: bool = False
    next_step: str | None = None
    next_at: datetime | None = None

    @property
    def subject(self) -> str:
        """`kaito.report.<service>.<ns>.<name>`; for a provisioner `kaito.report.provisioner-<provider>.…`."""
        return subjects.report(self.service, self.namespace, self.name, self.provider)
