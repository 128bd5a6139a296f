"""What happens next for each reason, and who has to act. Used where the status itself does not say."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.conditions import Reason
from services.contracts.status import WorkspaceStatus

_EDIT = "Nothing happens until the Workspace is changed: kubectl edit workspace {name}"
_NODES = "It goes on as soon as the nodes have joined the cluster."
_RESTARTS = "Kubernetes starts the container again, with pauses that grow up to 5 minutes."

NEEDS_SOMEONE = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.IMMUTABLE_FIELD_CHANGED,
        Reason.CONFIG_MAP_NOT_FOUND,
        Reason.INVALID_CONFIG,
        Reason.SECRET_NOT_FOUND,
        Reason.UNKNOWN_PRESET,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_ACCESS_DENIED,
        Reason.MODEL_NOT_SUPPORTED,
        Reason.UNKNOWN_INSTANCE_TYPE,
        Reason.MODEL_DOES_NOT_FIT,
        Reason.IMAGE_PULL_ERROR,
        Reason.MODEL_NOT_FETCHED,
        Reason.CONTAINER_START_ERROR,
        Reason.CONTAINER_CRASH_LOOP,
        Reason.CONTAINER_OOM_KILLED,
        Reason.WORKLOAD_REFUSED,
        Reason.ADAPTER_NOT_LOADED,
        Reason.MODEL_NOT_TUNABLE,
        Reason.JOB_FAILED,
        Reason.WORKSPACE_FAILED,
    }
)
"""Reasons that most likely stay until a person changes something: a failure, where the others are a wait."""

ADVICE: Mapping[str, str] = {
    "Waiting": "The watcher and the scheduler look at it within a second where they run.",
    Reason.PLANNING: "The scheduler plans it within a second where it runs.",
    Reason.INVALID_SPEC: _EDIT,
    Reason.IMMUTABLE_FIELD_CHANGED: "What runs goes on as it was planned. Put the field back, or delete the "
    "Workspace and create it anew.",
    Reason.CONFIG_MAP_NOT_FOUND: "It is planned as soon as the ConfigMap is there.",
    Reason.INVALID_CONFIG: "It is planned again as soon as the ConfigMap is changed.",
    Reason.SECRET_NOT_FOUND: "It is planned as soon as the Secret is there.",
    Reason.UNKNOWN_PRESET: _EDIT,
    Reason.MODEL_FACTS_PENDING: "It is planned as soon as the hub has answered.",
    Reason.MODEL_NOT_FOUND: "The hub is asked again every few minutes.",
    Reason.MODEL_ACCESS_DENIED: "The hub is asked again every few minutes.",
    Reason.MODEL_NOT_SUPPORTED: _EDIT,
    Reason.HUB_UNAVAILABLE: "The hub is asked again, with pauses that grow up to 5 minutes.",
    Reason.UNKNOWN_INSTANCE_TYPE: _EDIT,
    Reason.MODEL_DOES_NOT_FIT: _EDIT,
    Reason.NO_OFFER: "It is planned as soon as a provisioner offers a machine that fits.",
    Reason.WAITING_FOR_PROVIDER: "It goes on as soon as that provisioner runs.",
    Reason.NODE_CLAIM_NOT_READY: "The provisioner keeps asking its cloud.",
    Reason.NODE_NOT_READY: _NODES,
    Reason.RESOURCE_NOT_READY: _NODES,
    Reason.INFERENCE_PENDING: "The engine starts and loads the model; half a minute for a small one, many for a large.",
    Reason.INFERENCE_PENDING_NODES: _NODES,
    Reason.IMAGE_PULL_ERROR: "Kubernetes tries again, with pauses that grow up to 5 minutes. Check the image's name "
    "and its pull secret.",
    Reason.MODEL_NOT_FETCHED: "It is tried again, with pauses that grow up to 5 minutes. Check where the model's files "
    "should come from.",
    Reason.CONTAINER_START_ERROR: "Kubernetes tries again by itself.",
    Reason.CONTAINER_CRASH_LOOP: _RESTARTS,
    Reason.CONTAINER_OOM_KILLED: _RESTARTS + " With the same settings it will run out of memory again.",
    Reason.POD_EVICTED: "Kubernetes makes a new pod.",
    Reason.UNSCHEDULABLE: "Kubernetes places the pod as soon as a node fits.",
    Reason.WORKLOAD_REFUSED: "The deployer tries again by itself, with growing pauses.",
    Reason.ADAPTERS_LOADING: "The server reads a changed list within about a minute and loads what is new.",
    Reason.ADAPTER_NOT_LOADED: "The server tries again, with pauses that grow up to 10 minutes. The base model and the "
    "other adapters are served meanwhile.",
    Reason.MODEL_NOT_TUNABLE: _EDIT,
    Reason.JOB_PENDING: "Kubernetes starts the pod as soon as its node has joined.",
    Reason.JOB_RUNNING: "The pod trains; status.tuning tells how far it is.",
    Reason.JOB_FAILED: "Nothing happens until the Workspace or its ConfigMap is changed, or the Job is deleted: then "
    "it is run again.",
    Reason.SIMULATED: "Nothing more: it is simulated and never answers.",
    Reason.WORKSPACE_PENDING: "It goes on by itself.",
    Reason.WORKSPACE_FAILED: "Nothing happens until something is changed.",
    Reason.DELETING: "The workload goes first, then the nodes, then the Workspace itself.",
}
"""A sentence for each reason a step is not passed; `{name}` is the Workspace's name."""


def next_sentence(reason: str, status: WorkspaceStatus, name: str) -> str:
    """What happens next: in the services' own words where they said it, else by reason, else by the failure."""
    if status.next_step:
        return status.next_step
    if reason in ADVICE:
        return ADVICE[reason].format(name=name)
    if status.failure and status.failure.terminal:
        return "Nothing happens until somebody changes what the message names."
    return "It is tried again by itself."
