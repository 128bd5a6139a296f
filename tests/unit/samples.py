"""Workspaces, plans, reports and pods for tests, each whole and valid unless told otherwise."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta

from services.chassis.kube import JsonObject
from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.conditions import Condition
from services.contracts.messages import Phase, PlanState, Report
from services.contracts.plan import Engine, Fixed, Plan, PlannedModel, PodResources, Workload
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import FINALIZER
from services.deployer.pods import Pod
from services.watcher.workspace import Workspace, read

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
UID = "0f9e8d7c-0000-4000-8000-000000000001"

RESOURCE: JsonObject = {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "phi"}}}
INFERENCE: JsonObject = {"preset": {"name": "phi-4-mini-instruct"}}
OWN: JsonObject = {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}
"""Inference by a pod of the user's own."""
TUNING: JsonObject = {
    "preset": {"name": "phi-4-mini-instruct"},
    "method": "qlora",
    "input": {"urls": ["https://example.com/data.parquet"]},
    "output": {"image": "registry.example.com/adapter:1", "imagePushSecret": "registry"},
}


def manifest(
    *,
    resource: JsonObject = RESOURCE,
    annotations: dict[str, str] | None = None,
    name: str = "w",
    generation: int = 1,
    version: str = "7",
    uid: str = UID,
    deleting: bool = False,
    held: bool = True,
    status: WorkspaceStatus | None = None,
    inference: JsonObject | None = None,
    tuning: JsonObject | None = None,
) -> JsonObject:
    """A Workspace as the API server gives it; it serves a preset unless told otherwise."""
    metadata: JsonObject = {
        "name": name,
        "namespace": "team",
        "uid": uid,
        "generation": generation,
        "resourceVersion": version,
        "creationTimestamp": "2026-01-01T11:59:00Z",
        "finalizers": [FINALIZER] if held else [],
        "annotations": annotations or {},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T12:30:00Z"
    head: JsonObject = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": metadata}
    if inference is None and tuning is None:
        inference = INFERENCE
    parts = {"inference": inference, "tuning": tuning, "status": status.to_dict() if status else None}
    return deepcopy(head | {"resource": resource} | {name: part for name, part in parts.items() if part is not None})


def workspace(
    *,
    resource: JsonObject = RESOURCE,
    annotations: dict[str, str] | None = None,
    name: str = "w",
    generation: int = 1,
    version: str = "7",
    deleting: bool = False,
    held: bool = True,
    status: WorkspaceStatus | None = None,
    inference: JsonObject | None = None,
    tuning: JsonObject | None = None,
) -> Workspace:
    """The same, read."""
    return read(
        manifest(
            resource=resource,
            annotations=annotations,
            name=name,
            generation=generation,
            version=version,
            deleting=deleting,
            held=held,
            status=status,
            inference=inference,
            tuning=tuning,
        )
    )


def lora(*names: str) -> PlannedLora:
    """Adapters of these names, from a registry."""
    return PlannedLora(adapters=tuple(PlannedAdapter(name=name, image=f"r.example.com/{name}:1") for name in names))


def plan(
    revision: int = 1,
    *,
    workload: Workload = Workload.INFERENCE,
    provider: str = "azure",
    nodes: int = 1,
    simulated: bool = False,
    adapters: tuple[str, ...] = (),
    template: JsonObject | None = None,
    env: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
    token_secret: str | None = None,
    load_balancer: bool = False,
    taints: tuple[str, ...] = (),
    tolerates: tuple[str, ...] = (),
) -> Plan:
    """A plan of one A100 node for phi-4-mini, unless told otherwise."""
    served = workload is not Workload.TEMPLATE
    return Plan(
        revision=revision,
        generation=1,
        workload=workload,
        provider=provider,
        instance_type="Standard_NC24ads_A100_v4",
        nodes=nodes,
        simulated=simulated,
        model=PlannedModel(id="microsoft/Phi-4-mini-instruct", name="phi-4-mini-instruct", weights_gib=7.2,
                           token_secret=token_secret) if served else None,
        engine=Engine(dtype="bfloat16", max_model_len=4096, env=env or {}, flags=flags or {}) if served else None,
        template=template,
        pod=PodResources(gpus=1),
        node_labels={"apps": "phi", "kaito.sh/workspace": "w"},
        lora=lora(*adapters) if adapters else None,
        load_balancer=load_balancer,
        taints=taints,
        tolerates=tolerates,
        cost_per_hour=3.673,
        fixed=Fixed(
            instance_type="Standard_NC24ads_A100_v4",
            labels={"apps": "phi"},
            preset="phi-4-mini-instruct" if served else None,
            workload=workload,
        ),
        providers=(provider,),
    )  # fmt: skip


def plan_state(made: Plan | None = None, *, uid: str = UID, generation: int = 1, retired: bool = False) -> PlanState:
    """The message of a plan."""
    return PlanState(namespace="team", name="w", uid=uid, generation=generation, plan=made or plan(), retired=retired)


def report(
    service: ServiceName,
    *conditions: Condition,
    uid: str = UID,
    generation: int = 1,
    revision: int = 1,
    provider: str | None = None,
    phases: tuple[Phase, ...] = (),
    next_step: str | None = None,
    endpoint: str | None = None,
    released: bool = False,
) -> Report:
    """A report; of a provisioner it needs a provider."""
    return Report(
        namespace="team",
        name="w",
        uid=uid,
        generation=generation,
        plan_revision=revision,
        service=service,
        provider=provider,
        conditions=conditions,
        phases=phases,
        next_step=next_step,
        endpoint=endpoint,
        released=released,
    )


def pod(
    name: str = "w-0",
    *,
    node: str | None = "node-1",
    ready: bool = False,
    status: JsonObject | None = None,
    owner: str = "",
    going: bool = False,
) -> Pod:
    """A pod on a node; `status` as Kubernetes writes it, `owner` the uid of what made it, `going`: to be ended."""
    metadata: JsonObject = {"name": name, "creationTimestamp": stamp(0)}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    if going:
        metadata["deletionTimestamp"] = stamp(60)
    conditions: list[JsonObject] = [
        {
            "type": "PodScheduled",
            "status": "True" if node else "False",
            "message": "" if node else "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity.",
            "lastTransitionTime": stamp(2),
        },
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp(30)},
    ]
    return Pod.model_validate(
        {
            "metadata": metadata,
            "spec": {"nodeName": node} if node else {},
            "status": {"conditions": conditions, **(status or {})},
        }
    )


def stamp(seconds: int) -> str:
    """A moment so many seconds after NOW, in whole seconds as Kubernetes writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
