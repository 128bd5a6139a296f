"""The Kubernetes objects of a plan: one StatefulSet and two Services, named as the Workspace. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.kube import JsonObject, dig_dicts, dig_list
from services.contracts.messages import PlanState
from services.contracts.plan import Engine, Plan, PlannedModel
from services.contracts.workspace import (
    GROUP,
    LABEL_OWNER_UID,
    LABEL_WORKSPACE,
    STORAGE_VERSION,
)
from services.deployer.adapters import FILE, adapter_list, adapter_parts, config_map_name
from services.deployer.benchmark_parts import benchmark_parts
from services.deployer.command import COMMANDS, PORT, arguments
from services.deployer.compiled import compiled_parts
from services.deployer.environment import environment, variables
from services.deployer.serving import GRACE_SECONDS
from services.deployer.weights import WEIGHTS, PodParts, WeightsSettings, weights_parts

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

TORCH_PORT = 29500
"""PyTorch's rendezvous port, which KAITO's first Services had beside 80."""

GPU_TAINT = "sku=gpu:NoSchedule"
PLUGIN_TOLERATION: JsonObject = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
"""Many clusters keep GPU nodes free by this taint."""


class Images:
    """Where containers and models come from, by the deployer's settings: an image, another hub, a cache.

    `urls` are variables for the pods that say which addresses may be fetched from. `compiled` is a folder of each node
    for what engines compile.
    """

    def __init__(
        self,
        inference: str,
        hub: str | None = None,
        weights: WeightsSettings | None = None,
        urls: Mapping[str, str] | None = None,
        compiled: str | None = None,
    ) -> None:
        self.inference = inference
        self.compiled = compiled
        self.hub = hub
        self.urls = dict(urls or {})
        self.weights = weights or WeightsSettings(image_volumes=False)


def render(state: PlanState, images: Images, otlp_endpoint: str | None = None) -> list[JsonObject]:
    """All objects that a plan wants, without those of what is not run."""
    services = [_service(state), _headless(state)]
    return [*services, _stateful_set(state, images, otlp_endpoint)]


def adapters_config_map(state: PlanState) -> JsonObject | None:
    """The ConfigMap that lists the adapters; None for a server that has no room for any."""
    text = adapter_list(state)
    if text is None:
        return None
    metadata = object_metadata(state, config_map_name(state.name))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {FILE: text}}


def labels(state: PlanState) -> dict[str, str]:
    """The labels of all objects, by which they are found again."""
    return {LABEL_WORKSPACE: state.name, LABEL_OWNER_UID: state.uid, "app.kubernetes.io/managed-by": "kaitobus"}


def object_metadata(state: PlanState, name: str) -> JsonObject:
    """Names, labels and the Workspace as the owner, for an object of the plan."""
    return {
        "name": name,
        "namespace": state.namespace,
        "labels": labels(state),
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{STORAGE_VERSION}",
                "kind": "Workspace",
                "name": state.name,
                "uid": state.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def _service(state: PlanState) -> JsonObject:
    ports = [
        {"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"},
        {"name": "torch", "port": TORCH_PORT, "targetPort": TORCH_PORT, "protocol": "TCP"},
    ]
    spec: JsonObject = {
        "type": "LoadBalancer" if state.plan.load_balancer else "ClusterIP",
        "selector": {LABEL_WORKSPACE: state.name, "statefulset.kubernetes.io/pod-name": f"{state.name}-0"},
        "ports": ports,
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": object_metadata(state, state.name), "spec": spec}


def _headless(state: PlanState) -> JsonObject:
    """Gives each pod a name in DNS; also while it is not ready, since the pods of one model find each other by it."""
    spec: JsonObject = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {LABEL_WORKSPACE: state.name},
        "ports": [{"name": "torch", "port": TORCH_PORT, "targetPort": TORCH_PORT, "protocol": "TCP"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_metadata(state, f"{state.name}-headless"),
        "spec": spec,
    }


def _stateful_set(state: PlanState, images: Images, otlp_endpoint: str | None) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": object_metadata(state, state.name),
        "spec": {
            "replicas": state.plan.nodes,
            "serviceName": f"{state.name}-headless",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {LABEL_WORKSPACE: state.name}},
            "template": _pod_template(state, images, otlp_endpoint),
        },
    }


def _pod_template(state: PlanState, images: Images, otlp_endpoint: str | None) -> JsonObject:
    """The pod: the user's own template or vLLM; pinned to the labels that the nodes carry or will carry."""
    own = state.plan.template or {}
    metadata, spec = _object(own.get("metadata")), _object(own.get("spec"))
    if not own:
        spec = _inference_pod(state, images, otlp_endpoint)
    return pinned(state, metadata, spec)


def pinned(state: PlanState, metadata: JsonObject, spec: JsonObject) -> JsonObject:
    """A pod as a template that runs on the plan's nodes, and is found again by our labels."""
    plan = state.plan
    own_tolerations = spec.get("tolerations")
    return {
        "metadata": {**metadata, "labels": {**_object(metadata.get("labels")), **labels(state)}},
        "spec": {
            **spec,
            "affinity": _affinity(plan, _object(spec.get("affinity"))),
            "tolerations": [*(own_tolerations if isinstance(own_tolerations, list) else ()), *_tolerations(plan)],
        },
    }


def _tolerations(plan: Plan) -> list[JsonObject]:
    """For the taints that the nodes carry, or that their cloud may put there. To tolerate one too many is harmless:
    the pod is pinned to the plan's nodes anyway.
    """
    taints = dict.fromkeys((GPU_TAINT, *plan.taints, *plan.tolerates))
    return [*map(_toleration, taints), PLUGIN_TOLERATION]


def _toleration(taint: str) -> JsonObject:
    """For a taint as kubectl writes it: key=value:Effect, or key:Effect."""
    pair, _, effect = taint.rpartition(":")
    key, _, value = pair.partition("=")
    operator: JsonObject = {"operator": "Equal", "value": value} if value else {"operator": "Exists"}
    return {"key": key, **operator, "effect": effect}


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _affinity(plan: Plan, own: JsonObject) -> JsonObject:
    """The pod's own affinity, and the labels of the nodes in each of its terms, of which one must hold."""
    pins = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(plan.node_labels.items())]
    node_affinity = _object(own.get("nodeAffinity"))
    required = _object(node_affinity.get(_REQUIRED))
    terms: list[JsonObject] = [
        {**term, "matchExpressions": [*dig_list(term, "matchExpressions"), *pins]}
        for term in dig_dicts(required, "nodeSelectorTerms") or [{}]
    ]
    return {**own, "nodeAffinity": {**node_affinity, _REQUIRED: {"nodeSelectorTerms": terms}}}


def _inference_pod(state: PlanState, images: Images, otlp_endpoint: str | None) -> JsonObject:
    model, engine = state.plan.model, state.plan.engine
    if model is None or engine is None:
        raise ValueError("a plan for inference names a model and its engine")
    parts = weights_parts(state.plan, images.inference, images.weights)
    parts = parts.and_also(adapter_parts(state.plan.lora, state.name))
    parts = parts.and_also(compiled_parts(state, images.compiled))
    parts = parts.and_also(benchmark_parts(engine))
    return {
        **parts.spec,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "containers": [_container(state, model, engine, images, otlp_endpoint, parts)],
        "volumes": [
            {"name": "dshm", "emptyDir": {"medium": "Memory"}},
            {"name": "weights", "emptyDir": {}},
            *parts.volumes,
        ],
    }


def _container(
    state: PlanState,
    model: PlannedModel,
    engine: Engine,
    images: Images,
    otlp_endpoint: str | None,
    parts: PodParts,
) -> JsonObject:
    return {
        "name": "inference",
        "image": images.inference,
        "command": [COMMANDS[engine.runtime]],
        "args": arguments(model, engine, otlp_endpoint),
        "env": environment(state, variables(state, model, engine, images.hub, otlp_endpoint, images.urls)),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": pod_resources(state.plan),
        "volumeMounts": [
            {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - the mount point that NCCL expects
            {"name": "weights", "mountPath": WEIGHTS},
            *parts.mounts,
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **_probes(model),
    }


def pod_resources(plan: Plan) -> JsonObject:
    """GPUs as limit and request; memory and CPU only where there is no GPU and the plan names them."""
    if plan.pod.gpus:
        return {"limits": {"nvidia.com/gpu": str(plan.pod.gpus)}, "requests": {"nvidia.com/gpu": str(plan.pod.gpus)}}
    requests: JsonObject = {}
    if plan.pod.cpu:
        requests["cpu"] = plan.pod.cpu
    if plan.pod.memory_gib:
        requests["memory"] = f"{int(plan.pod.memory_gib * 1024)}Mi"
    return {"requests": requests}


def _probes(model: PlannedModel) -> JsonObject:
    """`/health` answers once the first token has been made. Loading may take long, and longer for more weights."""
    check = {"httpGet": {"path": "/health", "port": PORT}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**check, "periodSeconds": 1, "failureThreshold": int(startup_seconds(model.weights_gib))},
        "readinessProbe": {**check, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**check, "periodSeconds": 10, "failureThreshold": 3},
    }


def startup_seconds(weights_gib: float) -> float:
    """How long a start may take: 15 minutes and 18 s for each GiB of weights, from 30 minutes to 3 hours, as KAITO."""
    return min(max(15 * 60 + 18 * weights_gib, 30 * 60), 180 * 60)
