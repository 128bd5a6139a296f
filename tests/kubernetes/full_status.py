"""A status of a Workspace in which nothing is left out, and the plan in it."""

from datetime import UTC, datetime

from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.conditions import ConditionStatus, ConditionType, StatusCondition
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Phase
from services.contracts.model_source import ModelSource
from services.contracts.performance import Metric, Performance
from services.contracts.plan import (
    Engine,
    Fixed,
    Plan,
    PlannedModel,
    PodResources,
    Prediction,
    Runtime,
    SetAside,
    Workload,
)
from services.contracts.serving import Claim, Serving
from services.contracts.status import State, WorkspaceStatus
from services.contracts.tuning import PlannedTuning, TuningMemory, TuningProgress
from services.contracts.workspace import DataDestination, DataSource, Schemaless

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def condition(type_: ConditionType, status: ConditionStatus = ConditionStatus.TRUE) -> StatusCondition:
    """A condition with all its fields."""
    return StatusCondition(
        type=type_, status=status, reason="Because", message="In words.", observed_generation=1, last_transition_time=AT
    )


def volume() -> Schemaless:
    """A volume that is there already."""
    return {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}


def full_source() -> ModelSource:
    """A source in which nothing is left out, though none has all of it."""
    return ModelSource(
        image="registry/model:1", pull_secrets=("pull",), volume=volume(), path="phi", folder="/models/phi"
    )


def full_lora() -> PlannedLora:
    """Adapters in which nothing is left out, though none has all of it."""
    volume = {"persistentVolumeClaim": {"claimName": "adapters", "readOnly": True}}
    adapter = PlannedAdapter(
        name="rhymes", strength=0.5, image="registry/rhymes:1", pull_secrets=("pull",), urls=("https://a/b",),
        volume=volume,
    )  # fmt: skip
    return PlannedLora(adapters=(adapter,), pull_secrets=("pull",), why="Adapters come and go.")


def full_model() -> PlannedModel:
    """A model with its source and the secret that opens it."""
    return PlannedModel(
        id="org/model", name="model", revision="abc", weights_gib=14.96, token_secret="token", source=full_source()
    )


def full_engine() -> Engine:
    """An engine with flags, their reasons, and an environment."""
    return Engine(
        runtime=Runtime.TRANSFORMERS,
        dtype="bfloat16",
        max_model_len=2048,
        tensor_parallel=2,
        pipeline_parallel=1,
        data_parallel=1,
        gpu_memory_utilization=0.9,
        flags={"enforce-eager": "", "seed": "1"},
        env={"VLLM_CPU_KVCACHE_SPACE": "1"},
        reasons={"enforce-eager": "In words."},
    )


def full_serving() -> Serving:
    """All that a workspace may ask of its server."""
    return Serving(
        api_key_secret="key",
        max_requests=100,
        compile_cache=Claim(name="c", folder="f"),
        benchmark="now-2",
        benchmark_fault="x",
    )


def full_tuning() -> PlannedTuning:
    """Tuning with every kind of data and of place for the result, though no job has all of them."""
    return PlannedTuning(
        method="qlora",
        config={"LoraConfig": {"r": 16, "target_modules": ["q_proj"]}},
        input=DataSource(
            name="data", urls=("https://a/b",), volume_source=volume(), image="r/d:1", image_pull_secrets=("pull",)
        ),
        output=DataDestination(volume_source=volume(), image="r/a:1", image_push_secret="push"),
        memory=TuningMemory(weights_gib=14.9, adapter_gib=0.2, activation_gib=3.5, overhead_gib=1.2, total_gib=73.6),
    )


def full_plan() -> Plan:
    """A plan in which nothing is left out."""
    return Plan(
        revision=2,
        generation=1,
        workload=Workload.INFERENCE,
        provider="fake",
        instance_type="Standard_NC24ads_A100_v4",
        nodes=2,
        simulated=True,
        model=full_model(),
        engine=full_engine(),
        template={"spec": {"containers": [{"name": "own", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}},
        pod=PodResources(gpus=1, cpu="500m", memory_gib=3.5),
        shares_node=True,
        node_labels={"apps": "phi-3"},
        taints=("sku=gpu:NoSchedule",),
        tolerates=("kubernetes.azure.com/scalesetpriority=spot:NoSchedule",),
        disk_gib=87,
        lora=full_lora(),
        load_balancer=True,
        serving=full_serving(),
        prediction=Prediction(weights_gib=14.96, activation_gib=1.5, kv_cache_gib=7, kv_tokens=1234, total_gib=23.46),
        tuning=full_tuning(),
        cost_per_hour=3.06,
        why=("It fits.",),
        warnings=("It is old.",),
        set_aside=(
            SetAside(provider="fake", instance_type="A", code=FailureCode.QUOTA_EXCEEDED, message="no", until=AT),
        ),
        fixed=Fixed(instance_type="A", labels={"apps": "phi-3"}, preset="model", workload=Workload.INFERENCE),
        providers=("fake",),
        inputs="0123",
    )


def full_progress() -> TuningProgress:
    """How far a tuning is, as its pod tells it."""
    return TuningProgress(
        phase="training",
        step=5,
        steps=10,
        resumed_from=4,
        loss=0.5,
        eval_loss=0.6,
        tokens_per_second=99.5,
        seconds_left=12,
        adapter_digest="sha256:0",
        reference="r/a@sha256:0",
        folder="w",
    )


def full_status() -> WorkspaceStatus:
    """A status in which nothing is left out."""
    return WorkspaceStatus(
        observed_generation=1,
        conditions=tuple(condition(type_) for type_ in ConditionType),
        state=State.SIMULATED,
        instance="Standard_NC24ads_A100_v4 (simulated)",
        worker_nodes=("node-1", "node-2"),
        target_node_count=2,
        performance=Performance(
            metrics={"speed": Metric(description="d", value="1", unit="tokens/s", config={"batch": "8"})}
        ),
        tuning=full_progress(),
        plan=full_plan(),
        phases=(Phase(name="planned", started_at=AT, finished_at=AT, detail="in one go"),),
        endpoint="http://model.default.svc",
        simulated=True,
        failure=Failure(code=FailureCode.THROTTLED, message="slow down", instance_type="A", retry_at=AT),
        next_step="Nothing.",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
