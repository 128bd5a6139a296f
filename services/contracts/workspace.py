"""The Workspace resource, `kaito.sh` v1alpha1 and v1beta1: what a user may write.

The fields are those of KAITO 0.12, so that manifests written for KAITO apply unchanged. The custom
resource definition is generated from these models (`deploy/crds`); descriptions become `kubectl explain`.
A Workspace has no `spec`: `resource`, `inference` and `tuning` stand at the top.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from services.contracts.base import Contract
from services.contracts.identity import short_uid

GROUP = "kaito.sh"
VERSIONS = ("v1alpha1", "v1beta1")
STORAGE_VERSION = "v1beta1"
FINALIZER = "workspace.finalizer.kaito.sh"

LABEL_WORKSPACE = "kaito.sh/workspace"
LABEL_WORKSPACE_NAMESPACE = "kaito.sh/workspacenamespace"
LABEL_OWNER_UID = "kaito.sh/workspace-uid"
LABEL_SIMULATED = "kaito.sh/simulated"
LABEL_PROVIDER = "kaito.sh/provider"


def share_label(uid: str) -> str:
    """The label of a workspace on a node that it shares with others: one key each, so that none hides another."""
    return f"{short_uid(uid)}.share.kaito.sh/workspace"


ANNOTATION_PROVIDER = "kaito.sh/provider"
PROVIDER_EXISTING = "byo"
"""The provider whose nodes exist already, and have names and labels of their own to be chosen by."""
ANNOTATION_RUNTIME = "kaito.sh/runtime"
ANNOTATION_NODE_IMAGE_FAMILY = "kaito.sh/node-image-family"
ANNOTATION_PERFORMANCE_MODE = "kaito.sh/performance-mode"
ANNOTATION_ENABLE_LB = "kaito.sh/enablelb"
ANNOTATION_WHOLE_NODE = "kaito.sh/whole-node"
ANNOTATION_MAX_MODEL_LEN = "kaito.sh/max-model-len"
ANNOTATION_CONCURRENCY = "kaito.sh/concurrency"

CONFIG_KEY_INFERENCE = "inference_config.yaml"
CONFIG_KEY_TUNING = "training_config.yaml"
SECRET_KEY_HF_TOKEN = "HF_TOKEN"

Schemaless = dict[str, JsonValue]
"""An object of Kubernetes' own (a PodTemplateSpec, a VolumeSource) that is passed on without being read."""


class AccessMode(StrEnum):
    """Where a preset's model comes from. Only `public` is left of it."""

    PUBLIC = "public"
    PRIVATE = "private"


class PartitionMode(StrEnum):
    """How a node's GPUs are divided."""

    MIG = "mig"
    ACCELERATOR = "accelerator"


class LabelSelectorOperator(StrEnum):
    """The operators of a metav1.LabelSelectorRequirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(Contract):
    """One expression of a metav1.LabelSelector."""

    key: str
    operator: LabelSelectorOperator
    values: tuple[str, ...] | None = None


class LabelSelector(Contract):
    """A metav1.LabelSelector. It must reduce to a plain map of labels: they are put on the nodes."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None


class Partition(Contract):
    """A part of a node's GPUs: a MIG profile, or a number of accelerators."""

    mode: PartitionMode
    profile: str | None = Field(default=None, description="MIG profile, such as 1g.10gb.")
    count: int | None = Field(default=None, ge=1, description="Number of accelerators.")


class Resource(Contract):
    """The nodes that a workspace runs on."""

    count: int | None = Field(
        default=1,
        ge=1,
        description="Number of nodes. Deprecated for presets: the number is planned from the model's size.",
    )
    instance_type: str | None = Field(
        default=None,
        description="The cloud's name of a machine size. Left out, the cheapest that fits is chosen.",
    )
    label_selector: LabelSelector = Field(description="Labels that the nodes carry and the pods are pinned to.")
    preferred_nodes: tuple[str, ...] | None = Field(
        default=None, description="Names of nodes that exist and are to be used first."
    )
    partition: Partition | None = Field(default=None, description="Use a part of each node's GPUs.")


class PresetOptions(Contract):
    """Options of a preset."""

    image: str | None = Field(
        default=None, description="Image or artifact of a registry that holds the model's files, instead of the hub."
    )
    image_pull_secrets: tuple[str, ...] | None = Field(
        default=None, description="Secrets of this namespace that open the image's registry."
    )
    model_access_secret: str | None = Field(
        default=None,
        description="Secret of this namespace whose key HF_TOKEN opens a gated model on the Hugging Face hub.",
    )


class Preset(Contract):
    """A model by name."""

    name: str = Field(
        min_length=1,
        description="A model of the catalogue, one of its short names, or a Hugging Face id (org/model).",
    )
    access_mode: AccessMode = Field(default=AccessMode.PUBLIC, description="Deprecated.")
    preset_options: PresetOptions | None = Field(default=None, description="Options of the preset.")


class DataSource(Contract):
    """Where data comes from: exactly one of urls, volumeSource and image."""

    name: str | None = Field(default=None, description="Name of the source; the adapter's name for an adapter.")
    urls: tuple[str, ...] | None = Field(default=None, description="http or https addresses of files.")
    volume_source: Schemaless | None = Field(default=None, description="A Kubernetes VolumeSource.")
    image: str | None = Field(default=None, description="A container image that holds the data in /data.")
    image_pull_secrets: tuple[str, ...] | None = Field(default=None, description="Secrets that open the registry.")


class DataDestination(Contract):
    """Where a result goes: exactly one of volumeSource and image."""

    volume_source: Schemaless | None = Field(default=None, description="A Kubernetes VolumeSource.")
    image: str | None = Field(default=None, description="The image to push the result as.")
    image_push_secret: str | None = Field(default=None, description="Secret that opens the registry for the push.")


class Adapter(Contract):
    """A LoRA adapter to serve beside the base model."""

    source: DataSource | None = Field(default=None, description="Where the adapter's files come from.")
    strength: str | None = Field(default="1.0", description="From 0 to 1: how strongly the adapter weighs.")


class Inference(Contract):
    """A model to serve: exactly one of preset and template."""

    preset: Preset | None = Field(default=None, description="The model to serve.")
    template: Schemaless | None = Field(default=None, description="A pod of your own instead of a preset.")
    config: str | None = Field(
        default=None,
        description="ConfigMap of this namespace with engine settings, key inference_config.yaml.",
    )
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=10)] | None = Field(
        default=None, description="LoRA adapters to serve beside the base model."
    )


class TuningMethod(StrEnum):
    """Ways to fine-tune. KAITO reads them in any case of letters."""

    LORA = "lora"
    QLORA = "qlora"


class Tuning(Contract):
    """A model to fine-tune."""

    preset: Preset | None = Field(default=None, description="The model to fine-tune.")
    method: str = Field(default=TuningMethod.LORA, description="lora or qlora.")
    config: str | None = Field(
        default=None,
        description="ConfigMap of this namespace with training settings, key training_config.yaml.",
    )
    input: DataSource = Field(description="The training data.")
    output: DataDestination = Field(description="Where the adapter goes.")


class WorkspaceSpec(Contract):
    """What a user writes of a Workspace, without metadata and status."""

    resource: Resource
    inference: Inference | None = None
    tuning: Tuning | None = None

    @property
    def preset(self) -> Preset | None:
        """The preset, be it served or tuned."""
        part = self.inference or self.tuning
        return part.preset if part else None

    @property
    def config(self) -> str | None:
        """The name of the ConfigMap with settings, if one is named. As in KAITO an empty text names none."""
        part = self.inference or self.tuning
        return (part.config or None) if part else None
