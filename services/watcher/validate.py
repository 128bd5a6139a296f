"""What is wrong with a Workspace, in a sentence that says what to change. Pure.

Newer API servers refuse most of this by the rules in the custom resource definition. Those rules are
dropped by older servers, so everything is looked at here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false
from services.contracts.model_source import BadSource, image_source, named_source, wants_local_weights
from services.contracts.plan import Fixed, Workload
from services.contracts.serving import BadServing, serving_of
from services.contracts.workspace import (
    Adapter,
    DataDestination,
    DataSource,
    Inference,
    LabelSelector,
    LabelSelectorOperator,
    Tuning,
    TuningMethod,
    WorkspaceSpec,
)
from services.watcher.workspace import Workspace

RESERVED = "kaito.sh/"
PERFORMANCE_MODES = ("balanced", "interactivity", "throughput")
IMAGE_FAMILIES = ("ubuntu", "azurelinux")

LONGEST_NAME = 52
"""A StatefulSet puts its name, a dash and a hash of ten into a label of its pods; labels hold 63 characters."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""A DNS-1035 label: what a Service may be called."""
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL_VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


class Problem(Contract):
    """Why a workspace cannot be planned as it is."""

    reason: Reason
    message: str

    def condition(self) -> Condition:
        """As the condition that a person sees."""
        return false(ConditionType.PLAN_READY, self.reason, self.message)


def find_problem(workspace: Workspace) -> Problem | None:
    """The first thing that is wrong with what the user wrote; None if it can be planned."""
    if workspace.spec is None:
        return Problem(reason=Reason.INVALID_SPEC, message=f"The spec cannot be read: {workspace.unreadable}")
    for message in (*_invalid_name(workspace.metadata.name), *_invalid(workspace.spec, workspace.metadata.annotations)):
        return Problem(reason=Reason.INVALID_SPEC, message=message)
    plan = workspace.status.plan
    for message in _changed(plan.fixed, fixed_part(workspace.spec)) if plan else ():
        return Problem(reason=Reason.IMMUTABLE_FIELD_CHANGED, message=message)
    return None


def fixed_part(spec: WorkspaceSpec) -> Fixed:
    """The part of a valid spec that must not change while the workspace lives."""
    preset = spec.preset
    return Fixed(
        instance_type=spec.resource.instance_type,
        labels=plain_labels(spec.resource.label_selector) or {},
        preset=preset.name.lower() if preset else None,
        workload=workload(spec),
    )


def workload(spec: WorkspaceSpec) -> Workload:
    """What a valid spec asks for."""
    if spec.tuning is not None:
        return Workload.TUNING
    return Workload.TEMPLATE if spec.inference and spec.inference.template is not None else Workload.INFERENCE


def plain_labels(selector: LabelSelector) -> dict[str, str] | None:
    """The selector as a plain map of labels, without keys of our own; None where it is more than that."""
    labels = dict(selector.match_labels or {})
    for expression in selector.match_expressions or ():
        values = expression.values or ()
        if expression.operator is not LabelSelectorOperator.IN or len(values) != 1:
            return None
        if labels.setdefault(expression.key, values[0]) != values[0]:
            return None  # no node carries two values of one label
    return {key: value for key, value in labels.items() if not key.startswith(RESERVED)}


def _invalid_name(name: str) -> Iterator[str]:
    """Kubernetes takes longer names for a Workspace than for the StatefulSet and the Service it becomes."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        yield (
            f"metadata.name must begin with a letter, have small letters, digits and dashes only, and at most "
            f"{LONGEST_NAME} characters: the StatefulSet and the Service are named after it. "
            "Create the Workspace under another name."
        )


def _invalid(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Iterator[str]:
    if (spec.inference is None) == (spec.tuning is None):
        found = "neither" if spec.inference is None else "both"
        yield f"A Workspace has exactly one of inference and tuning; this one has {found}. Keep one of them."
    labels = plain_labels(spec.resource.label_selector)
    if labels is None:
        yield (
            "resource.labelSelector must be a plain map of labels: use matchLabels, or matchExpressions with "
            "operator In and exactly one value, and one value for each label."
        )
    elif not labels:
        yield (
            "resource.labelSelector needs at least one label of your own, such as matchLabels: {apps: my-model}; "
            f"labels under {RESERVED} do not count."
        )
    for key, value in (labels or {}).items():
        if not _LABEL_VALUE.fullmatch(value):
            yield (
                f"resource.labelSelector: {value!r} cannot be the value of the label {key} on a node: use at most 63 "
                "letters, digits, dashes, underscores and dots, with a letter or digit at both ends."
            )
    if spec.inference:
        yield from _invalid_inference(spec.inference)
    if spec.tuning:
        yield from _invalid_tuning(spec.tuning, spec.resource.count or 1)
    yield from _invalid_annotations(annotations)
    yield from _invalid_model_source(spec, annotations)


def _invalid_model_source(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Iterator[str]:
    try:
        local = wants_local_weights(annotations)
        named = named_source(spec.preset, annotations) if spec.preset else None
    except BadSource as error:
        yield str(error)
        return
    if local and named:
        yield f"The model's files come from {named.words} and from the node at once: keep one of the two."


def _invalid_inference(inference: Inference) -> Iterator[str]:
    if (inference.preset is None) == (inference.template is None):
        yield "inference needs exactly one of preset and template."
    if inference.template is not None and inference.adapters:
        yield "inference.adapters are served beside a preset. A template runs what it says: remove one of the two."
    for index, adapter in enumerate(inference.adapters or ()):
        yield from _invalid_adapter(adapter, f"inference.adapters[{index}]")
    names = [adapter.source.name for adapter in inference.adapters or () if adapter.source]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        yield f"inference.adapters must have different names; {twice} stands there twice."


def _invalid_adapter(adapter: Adapter, where: str) -> Iterator[str]:
    source = adapter.source
    if source is None or not source.name:
        yield f"{where}.source needs a name: requests choose the adapter by it."
    else:
        if not _ADAPTER_NAME.fullmatch(source.name):
            yield (
                f"{where}.source.name is {source.name[:100]!r}: use at most 128 letters, digits, dots, dashes and "
                "underscores, with a letter or digit first."
            )
        yield from _invalid_source(source, f"{where}.source")
        yield from _invalid_image(source.image, f"{where}.source.image")
    if not _is_strength(adapter.strength):
        yield f'{where}.strength must be a number from 0 to 1 in quotes, such as "0.5"; it is {adapter.strength!r}.'


def _invalid_image(image: str | None, where: str) -> Iterator[str]:
    try:
        _ = image_source(image, (), where) if image is not None else None
    except BadSource as error:
        yield str(error)


def _is_strength(text: str | None) -> bool:
    try:
        return 0 <= float(text if text is not None else "1") <= 1
    except ValueError:
        return False


def _invalid_tuning(tuning: Tuning, count: int) -> Iterator[str]:
    if tuning.preset is None:
        yield "tuning.preset is missing: name the model to tune."
    if tuning.method.lower() not in tuple(TuningMethod):
        yield f"tuning.method must be lora or qlora; it is {tuning.method!r}."
    if count != 1:
        yield f"Tuning runs on one node: set resource.count to 1; it is {count}."
    yield from _invalid_source(tuning.input, "tuning.input")
    yield from _invalid_image(tuning.input.image, "tuning.input.image")
    yield from _invalid_destination(tuning.output)


def _invalid_source(source: DataSource, where: str) -> Iterator[str]:
    given = [bool(source.urls), source.image is not None, source.volume_source is not None]
    if sum(given) != 1:
        yield f"{where} needs exactly one of urls, image and volumeSource."
    for url in source.urls or ():
        if not url.startswith(("https://", "http://")):
            yield f"{where}.urls takes http and https addresses only; {url!r} is none."


def _invalid_destination(output: DataDestination) -> Iterator[str]:
    if (output.image is None) == (output.volume_source is None):
        yield "tuning.output needs exactly one of image and volumeSource."
    if output.image is not None and not output.image_push_secret:
        yield "tuning.output.image needs imagePushSecret: the name of a secret that opens the registry."
    yield from _invalid_image(output.image, "tuning.output.image")
    if output.image and "@" in output.image:
        yield (
            f"tuning.output.image is {output.image[:200]!r}: what is pushed gets its digest only then. Name a tag, "
            "such as registry.example.com/team/adapter:v1."
        )


def _invalid_annotations(annotations: Mapping[str, str]) -> Iterator[str]:
    for key, allowed in (
        ("kaito.sh/performance-mode", PERFORMANCE_MODES),
        ("kaito.sh/node-image-family", IMAGE_FAMILIES),
        ("kaito.sh/runtime", ("vllm", "transformers")),
    ):
        value = annotations.get(key)
        if value is not None and value not in allowed:
            yield f"Annotation {key} must be one of {', '.join(allowed)}; it is {value!r}."
    try:
        serving_of(annotations)
    except BadServing as error:
        yield str(error)


def _changed(planned: Fixed, wanted: Fixed) -> Iterator[str]:
    names = {
        "instance_type": "resource.instanceType",
        "labels": "resource.labelSelector",
        "preset": "the preset's name",
        "workload": "the kind of workload (inference, template or tuning)",
    }
    for field, name in names.items():
        before, after = getattr(planned, field), getattr(wanted, field)
        if before != after:
            yield (
                f"{name} cannot be changed on a living Workspace: it was {_shown(before)}, now it is {_shown(after)}. "
                "Change it back, or delete the Workspace and create it anew. What was planned before goes on running."
            )


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
