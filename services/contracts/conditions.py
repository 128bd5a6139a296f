"""Conditions of a Workspace: their types, their reasons, and the metav1.Condition they are written as.

Types and reasons that KAITO has keep KAITO's spelling, so that scripts which wait for them go on working.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from services.contracts.base import Contract


class ConditionType(StrEnum):
    """The steps of a workspace's way, in the order in which they are passed; the last four sum up the others.

    `BenchmarkCompleted` is no step: it tells of something that may happen later, and nothing waits for it.
    """

    PLAN_READY = "PlanReady"
    NODE_CLAIM_READY = "NodeClaimReady"
    NODES_READY = "NodesReady"
    RESOURCE_READY = "ResourceReady"
    INFERENCE_READY = "InferenceReady"
    ADAPTERS_READY = "AdaptersReady"
    JOB_STARTED = "JobStarted"
    JOB_SUCCEEDED = "JobSucceeded"
    BENCHMARK_COMPLETED = "BenchmarkCompleted"
    DELETING = "WorkspaceDeleting"
    WORKSPACE_READY = "WorkspaceReady"
    SUCCEEDED = "WorkspaceSucceeded"
    READY = "Ready"


STEPS: tuple[ConditionType, ...] = (
    ConditionType.PLAN_READY,
    ConditionType.NODE_CLAIM_READY,
    ConditionType.NODES_READY,
    ConditionType.RESOURCE_READY,
    ConditionType.INFERENCE_READY,
    ConditionType.ADAPTERS_READY,
    ConditionType.JOB_STARTED,
    ConditionType.JOB_SUCCEEDED,
)
"""The conditions that services report. The first of them that is not True is what a person must be told."""

SUMMARIES: tuple[ConditionType, ...] = (
    ConditionType.WORKSPACE_READY,
    ConditionType.SUCCEEDED,
    ConditionType.READY,
)
"""The conditions that the watcher derives from the steps."""


class ConditionStatus(StrEnum):
    """The status of a metav1.Condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition has its status. The cloud's and the engine's own reasons are lifted beside these."""

    PLANNED = "Planned"
    PLANNING = "Planning"
    INVALID_SPEC = "InvalidSpec"
    IMMUTABLE_FIELD_CHANGED = "ImmutableFieldChanged"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    INVALID_CONFIG = "InvalidConfig"
    SECRET_NOT_FOUND = "SecretNotFound"
    UNKNOWN_PRESET = "UnknownPreset"
    MODEL_FACTS_PENDING = "ModelFactsPending"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_ACCESS_DENIED = "ModelAccessDenied"
    MODEL_NOT_SUPPORTED = "ModelNotSupported"
    HUB_UNAVAILABLE = "HubUnavailable"
    UNKNOWN_INSTANCE_TYPE = "UnknownInstanceType"
    MODEL_DOES_NOT_FIT = "ModelDoesNotFit"
    NO_OFFER = "NoOffer"
    WAITING_FOR_PROVIDER = "WaitingForProvider"

    NODE_CLAIMS_READY = "NodeClaimsReady"
    NODE_CLAIM_NOT_READY = "NodeClaimNotReady"
    NODES_READY = "NodesReady"
    NODE_NOT_READY = "NodeNotReady"
    RESOURCE_READY = "workspaceResourceStatusSuccess"
    RESOURCE_NOT_READY = "workspaceResourceStatusNotReady"

    INFERENCE_READY = "WorkspaceInferenceStatusSuccess"
    INFERENCE_PENDING = "WorkspaceInferenceStatusPending"
    INFERENCE_PENDING_NODES = "WaitingForNodes"
    IMAGE_PULL_ERROR = "ImagePullError"
    CONTAINER_START_ERROR = "ContainerStartError"
    CONTAINER_CRASH_LOOP = "ContainerCrashLoopBackOff"
    CONTAINER_OOM_KILLED = "ContainerOOMKilled"
    MODEL_NOT_FETCHED = "ModelNotFetched"
    POD_EVICTED = "PodEvicted"
    UNSCHEDULABLE = "Unschedulable"
    WORKLOAD_REFUSED = "WorkloadRefused"
    ADAPTERS_READY = "AdaptersReady"
    ADAPTERS_LOADING = "AdaptersLoading"
    ADAPTER_NOT_LOADED = "AdapterNotLoaded"
    JOB_STARTED = "WorkspaceTuningJobStatusStarted"
    JOB_PENDING = "WorkspaceTuningJobStatusPending"
    JOB_FAILED = "WorkspaceTuningJobStatusFailed"
    JOB_RUNNING = "TuningRunning"
    JOB_SUCCEEDED = "TuningSucceeded"
    MODEL_NOT_TUNABLE = "ModelNotTunable"
    BENCHMARK_COMPLETED = "BenchmarkCompleted"
    BENCHMARK_PENDING = "BenchmarkPending"
    BENCHMARK_RUNNING = "BenchmarkRunning"
    BENCHMARK_FAILED = "BenchmarkFailed"
    BENCHMARK_OFF = "BenchmarkOff"
    BENCHMARK_WISH_UNREADABLE = "BenchmarkWishUnreadable"

    SIMULATED = "Simulated"
    WORKSPACE_SUCCEEDED = "workspaceSucceeded"
    WORKSPACE_PENDING = "workspacePending"
    WORKSPACE_FAILED = "workspaceFailed"
    DELETING = "workspaceDeleting"


WAITS: frozenset[str] = frozenset(
    {
        Reason.MODEL_FACTS_PENDING,
        Reason.WAITING_FOR_PROVIDER,
        Reason.NODE_CLAIM_NOT_READY,
        Reason.NODE_NOT_READY,
        Reason.RESOURCE_NOT_READY,
        Reason.INFERENCE_PENDING,
        Reason.INFERENCE_PENDING_NODES,
        Reason.ADAPTERS_LOADING,
        Reason.JOB_PENDING,
        Reason.JOB_RUNNING,
        Reason.BENCHMARK_PENDING,
        Reason.BENCHMARK_RUNNING,
        Reason.BENCHMARK_OFF,
        Reason.DELETING,
    }
)
"""Reasons of a step that is on its way: nothing is wrong, and nobody need do anything."""


class Condition(Contract):
    """A metav1.Condition as a service reports it: without the times, which the writer of the status keeps.

    `reason` is CamelCase; it is a `Reason`, or one lifted from the cloud or the engine.
    """

    type: ConditionType
    status: ConditionStatus
    reason: str = Field(min_length=1, max_length=128)
    message: str = Field(default="", max_length=4096)

    @property
    def is_true(self) -> bool:
        """Whether the step has been passed."""
        return self.status is ConditionStatus.TRUE


class StatusCondition(Condition):
    """A condition as it stands in `status.conditions`."""

    observed_generation: int = 0
    last_transition_time: datetime


def true(type_: ConditionType, reason: str, message: str = "") -> Condition:
    """A condition that has been reached."""
    return Condition(type=type_, status=ConditionStatus.TRUE, reason=reason, message=message[:4096])


def false(type_: ConditionType, reason: str, message: str = "") -> Condition:
    """A condition that has not been reached, and why."""
    return Condition(type=type_, status=ConditionStatus.FALSE, reason=reason, message=message[:4096])
