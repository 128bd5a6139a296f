"""What is wrong with a Workspace, in a sentence that says what to change. Pure.

Newer API servers refuse most of this by the rules in the custom resource definition. Those rules are
dropped by older servers, so everything is looked at here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false
from services.contracts.plan import Fixed, Workload
from services.contracts.workspace import WorkspaceSpec
from services.watcher.checks.annotations import invalid_annotations
from services.watcher.checks.inference import invalid_inference
from services.watcher.checks.labels import invalid_labels, plain_labels
from services.watcher.checks.machine import invalid_machine
from services.watcher.checks.names import invalid_name, invalid_references
from services.watcher.checks.sources import invalid_model_source
from services.watcher.checks.tuning import invalid_tuning
from services.watcher.workspace import Workspace


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
    for message in (*invalid_name(workspace.metadata.name), *_invalid(workspace.spec, workspace.metadata.annotations)):
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


def _invalid(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Iterator[str]:
    if (spec.inference is None) == (spec.tuning is None):
        found = "neither" if spec.inference is None else "both"
        yield f"A Workspace has exactly one of inference and tuning; this one has {found}. Keep one of them."
    yield from invalid_labels(spec.resource.label_selector, annotations)
    yield from invalid_machine(spec.resource)
    yield from invalid_references(spec)
    if spec.inference:
        yield from invalid_inference(spec.inference)
    if spec.tuning:
        yield from invalid_tuning(spec.tuning, spec.resource.count or 1)
    yield from invalid_annotations(annotations)
    yield from invalid_model_source(spec, annotations)


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
