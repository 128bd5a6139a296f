"""A plan: what was decided for a workspace, and why. It is written into `status.plan` as it stands here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from services.contracts.adapters import PlannedLora
from services.contracts.base import Contract
from services.contracts.errors import FailureCode
from services.contracts.model_source import ModelSource
from services.contracts.serving import Serving
from services.contracts.tuning import PlannedTuning


class Workload(StrEnum):
    """What a workspace runs."""

    INFERENCE = "inference"
    TUNING = "tuning"
    TEMPLATE = "template"


class Runtime(StrEnum):
    """What serves a model: vLLM, or transformers' own `generate`, for models that vLLM lacks."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class Engine(Contract):
    """The settings of vLLM, or of the runtime that is named.

    `flags` are further command line flags by name, without dashes; one with an empty value is a switch. `env` are
    environment variables that the engine reads. The deployer renders the command line from this alone. `reasons` are
    sentences that say why a flag or variable is as it is, by its name.
    """

    runtime: Runtime = Runtime.VLLM
    dtype: str
    max_model_len: int | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    gpu_memory_utilization: float | None = None
    flags: dict[str, str] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)


class PlannedModel(Contract):
    """The model that is served or tuned: `id` on the hub, `name` towards its callers.

    `source` is where its files come from, where that is not the hub.
    """

    id: str
    name: str
    revision: str | None = None
    weights_gib: float
    token_secret: str | None = None
    source: ModelSource | None = None


class PodResources(Contract):
    """What one pod asks of its node. Memory and CPU are asked for only where there is no GPU."""

    gpus: int = 0
    cpu: str | None = None
    memory_gib: float | None = None


class Prediction(Contract):
    """What the engine should report for each GPU (GiB), or for the machine's memory without one."""

    weights_gib: float
    activation_gib: float
    kv_cache_gib: float
    kv_tokens: int
    total_gib: float


class SetAside(Contract):
    """An offer that failed and is not planned again before `until`."""

    provider: str
    instance_type: str
    code: FailureCode
    message: str
    until: datetime


class Fixed(Contract):
    """The part of the spec that must not change while the workspace lives, as it was first planned."""

    instance_type: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    preset: str | None = None
    workload: Workload


class Plan(Contract):
    """What was decided. `revision` grows with every change; `why` and `warnings` are sentences for a person."""

    revision: int = Field(ge=1)
    generation: int
    """That of the spec by which nodes and engine were planned; other adapters do not change it."""
    workload: Workload
    provider: str
    instance_type: str
    nodes: int = Field(ge=1)
    simulated: bool = False
    model: PlannedModel | None = None
    engine: Engine | None = None
    template: dict[str, object] | None = None
    pod: PodResources = PodResources()
    shares_node: bool = False
    """Whether others may use the GPUs of its nodes that it does not take."""
    node_labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """Those that the nodes must carry."""
    tolerates: tuple[str, ...] = ()
    """Those that the cloud may put on the nodes besides."""
    disk_gib: int = 0
    lora: PlannedLora | None = None
    """None: the server has no room for adapters, and the first one starts it anew."""
    load_balancer: bool = False
    serving: Serving = Serving()
    prediction: Prediction | None = None
    tuning: PlannedTuning | None = None
    cost_per_hour: float | None = None
    why: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    fixed: Fixed
    providers: tuple[str, ...] = ()
    """All providers that were ever asked for nodes under this workspace: each must let go in the end."""
    inputs: str = ""
    """Digest of all that the plan was made from: while it is the same, the plan stands."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is as it is, adapters included."""
        return (*self.why, *((self.lora.why,) if self.lora and self.lora.why else ()))
