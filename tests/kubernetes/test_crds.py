"""The custom resource definition on a real API server."""

import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import BaseModel

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
from tests.kubernetes.conftest import Kubectl

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SOURCES = sorted((ROOT / "tests" / "data" / "source-examples").glob("*.yaml"))
NAME = "workspace-phi-3-mini-adapter"
"""The Workspace of the first of them."""

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def installed(kubectl: Kubectl, workspace_crd: None) -> Kubectl:
    """Kubectl on a server that has the definition, applied as the documentation says."""
    return kubectl


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(installed: Kubectl, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    told = re.sub(r"[^a-z0-9]+", "-", str(request.node.name).lower()).strip("-")[-45:].strip("-")
    name = f"crd-{told}-{secrets.token_hex(3)}"
    await installed("create", "namespace", name)
    return name


def condition(type_: ConditionType, status: ConditionStatus = ConditionStatus.TRUE) -> StatusCondition:
    return StatusCondition(
        type=type_, status=status, reason="Because", message="In words.", observed_generation=1, last_transition_time=AT
    )


def volume() -> Schemaless:
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
        model=PlannedModel(
            id="org/model", name="model", revision="abc", weights_gib=14.96, token_secret="token", source=full_source()
        ),
        engine=Engine(
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
        ),
        template={"spec": {"containers": [{"name": "own", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}},
        pod=PodResources(gpus=1, cpu="500m", memory_gib=3.5),
        shares_node=True,
        node_labels={"apps": "phi-3"},
        taints=("sku=gpu:NoSchedule",),
        tolerates=("kubernetes.azure.com/scalesetpriority=spot:NoSchedule",),
        disk_gib=87,
        lora=full_lora(),
        load_balancer=True,
        serving=Serving(
            api_key_secret="key",
            max_requests=100,
            compile_cache=Claim(name="c", folder="f"),
            benchmark="now-2",
            benchmark_fault="x",
        ),
        prediction=Prediction(weights_gib=14.96, activation_gib=1.5, kv_cache_gib=7, kv_tokens=1234, total_gib=23.46),
        tuning=PlannedTuning(
            method="qlora",
            config={"LoraConfig": {"r": 16, "target_modules": ["q_proj"]}},
            input=DataSource(
                name="data", urls=("https://a/b",), volume_source=volume(), image="r/d:1", image_pull_secrets=("pull",)
            ),
            output=DataDestination(volume_source=volume(), image="r/a:1", image_push_secret="push"),
            memory=TuningMemory(
                weights_gib=14.9, adapter_gib=0.2, activation_gib=3.5, overhead_gib=1.2, total_gib=73.6
            ),
        ),
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
        tuning=TuningProgress(
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
        ),
        plan=full_plan(),
        phases=(Phase(name="planned", started_at=AT, finished_at=AT, detail="in one go"),),
        endpoint="http://model.default.svc",
        simulated=True,
        failure=Failure(code=FailureCode.THROTTLED, message="slow down", instance_type="A", retry_at=AT),
        next_step="Nothing.",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def left_out(model: BaseModel, path: str = "") -> list[str]:
    """The fields, at any depth, that were not given a value."""
    found = [f"{path}.{name}" for name in type(model).model_fields.keys() - model.model_fields_set]
    for name in model.model_fields_set:
        value = getattr(model, name)
        for inner in value if isinstance(value, tuple) else (value,):
            found += left_out(inner, f"{path}.{name}") if isinstance(inner, BaseModel) else []
    return found


async def write_status(kubectl: Kubectl, namespace: str, name: str, status: dict[str, object]) -> None:
    patch = json.dumps({"status": status})
    await kubectl("-n", namespace, "patch", "wk", name, "--subresource=status", "--type=merge", "-p", patch)


async def test_it_is_established_without_a_complaint(installed: Kubectl) -> None:
    found = json.loads(await installed("get", "crd", "workspaces.kaito.sh", "-o", "json"))
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("manifest", [*SOURCES, *EXAMPLES], ids=lambda path: path.stem)
async def test_a_manifest_written_for_kaito_applies_unchanged_and_so_do_the_examples(
    installed: Kubectl, namespace: str, manifest: Path
) -> None:
    assert "created" in await installed("-n", namespace, "apply", "-f", str(manifest))
    assert "unchanged" in await installed("-n", namespace, "apply", "-f", str(manifest))


async def test_what_is_left_out_gets_its_default_and_no_machine_size(installed: Kubectl, namespace: str) -> None:
    manifest = {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "small"},
        "resource": {"labelSelector": {"matchLabels": {"apps": "small"}}},
        "inference": {"preset": {"name": "m"}, "adapters": [{"source": {"name": "a", "image": "i"}}]},
    }
    await installed("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest))
    found = json.loads(await installed("-n", namespace, "get", "wk", "small", "-o", "json"))
    assert found["resource"]["count"] == 1
    assert "instanceType" not in found["resource"]
    assert found["inference"]["preset"]["accessMode"] == "public"
    assert found["inference"]["adapters"][0]["strength"] == "1.0"


async def test_a_pod_template_is_kept_whole(installed: Kubectl, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "y", "new": [1]}]}}
    manifest = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "own"},
        "resource": {"labelSelector": {"matchLabels": {"apps": "own"}}},
        "inference": {"template": template},
    }
    await installed("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest))
    found = json.loads(await installed("-n", namespace, "get", "wk", "own", "-o", "json"))
    assert found["inference"]["template"] == template


async def test_both_versions_read_the_same_object(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    read = {}
    for version in ("v1alpha1", "v1beta1"):
        listed = json.loads(await installed("-n", namespace, "get", f"workspaces.{version}.kaito.sh", "-o", "json"))
        (read[version],) = listed["items"]
        assert read[version].pop("apiVersion") == f"kaito.sh/{version}"
        read[version]["metadata"].pop("managedFields", None)
    assert read["v1alpha1"] == read["v1beta1"]


async def test_a_full_status_comes_back_without_a_loss(installed: Kubectl, namespace: str) -> None:
    assert left_out(full_status()) == []
    written = full_status().to_dict()
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, written)
    found = json.loads(await installed("-n", namespace, "get", "wk", NAME, "-o", "json"))
    assert found["status"] == written
    assert WorkspaceStatus.model_validate(found["status"]) == full_status()


async def test_what_a_newer_scheduler_adds_to_the_plan_is_kept(installed: Kubectl, namespace: str) -> None:
    plan = full_plan().to_dict() | {"addedLater": {"a": [1, "b"]}}
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, {"plan": plan})
    found = json.loads(await installed("-n", namespace, "get", "wk", NAME, "-o", "json"))
    assert found["status"]["plan"] == plan


async def test_a_condition_of_kaito_that_we_do_not_have_is_no_obstacle(installed: Kubectl, namespace: str) -> None:
    done = condition(ConditionType.READY).to_dict() | {"type": "ModelMirrorReady"}
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, {"conditions": [done]})
    await installed("-n", namespace, "label", "wk", NAME, "a=b")


async def test_explain_tells_what_a_field_is_for(installed: Kubectl) -> None:
    told = await installed("explain", "workspace.resource.instanceType")
    assert "The cloud's name of a machine size." in " ".join(told.split())
    assert "Where the model answers" in " ".join((await installed("explain", "wk.status.endpoint")).split())


async def test_get_prints_the_columns(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, full_status().to_dict())
    header, row = (await installed("-n", namespace, "get", "wks")).splitlines()
    assert header.split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "STATE", "AGE"]
    assert "Standard_NC24ads_A100_v4 (simulated)" in row
    assert row.split()[3:7] == ["True", "True", "True", "Simulated"]


async def test_get_wide_adds_job_nodes_cost_and_reason(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, full_status().to_dict())
    header, row = (await installed("-n", namespace, "get", "workspace", "-o", "wide")).splitlines()
    assert header.split()[6:] == [
        "JOBSTARTED", "WORKSPACESUCCEEDED", "NODES", "STEP", "LOSS", "COST/H", "REASON", "AGE",
    ]  # fmt: skip
    assert row.split()[7:14] == ["True", "True", "2", "5", "0.5", "3.06", "Because"]


async def test_it_is_in_its_category(installed: Kubectl) -> None:
    assert "workspaces.kaito.sh" in await installed("api-resources", "--categories=workspace", "-o", "name")


async def test_two_writers_keep_their_conditions(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    for writer, type_ in (("one", ConditionType.READY), ("two", ConditionType.JOB_STARTED)):
        mine = {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": NAME},
            "status": {"conditions": [condition(type_).to_dict()]},
        }
        apply = ("apply", "--server-side", "--subresource=status", f"--field-manager={writer}", "--validate=false")
        await installed("-n", namespace, *apply, "-f", "-", stdin=json.dumps(mine))
    types = await installed("-n", namespace, "get", "wk", NAME, "-o", "jsonpath={.status.conditions[*].type}")
    assert set(types.split()) == {"Ready", "JobStarted"}
