"""What is published of a Workspace, and whether that is news. Pure."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from services.contracts.messages import WorkspaceState
from services.contracts.workspace import LabelSelector, Resource, WorkspaceSpec
from services.watcher.checks.size import fits
from services.watcher.workspace import Workspace

_UNREADABLE: Final = WorkspaceSpec(resource=Resource(label_selector=LabelSelector()))
"""Stands for a spec that cannot be read, or is too long, in the message that such a workspace goes. Nobody plans by it
then."""


def wanted(state: WorkspaceState) -> str:
    """A digest of the state without its version: writing the status changes that, and nothing that is wanted."""
    return state.model_copy(update={"resource_version": ""}).digest()


def may_be_newer(last: WorkspaceState, state: WorkspaceState) -> bool:
    """Whether the last message may be of a later state of the object, or of a later object of that name."""
    versions = (last.resource_version, state.resource_version)
    if (last.deleting and not state.deleting) or not all(version.isdecimal() for version in versions):
        return True
    return int(versions[0]) > int(versions[1])  # a number that grows, for all objects of a cluster


def told(workspace: Workspace) -> tuple[object, ...]:
    """What a message tells of the object, its spec by the generation."""
    meta = workspace.metadata
    return (meta.uid, meta.generation, meta.deleting, meta.held, meta.annotations, workspace.status.plan)


def to_state(workspace: Workspace, configs: dict[str, str]) -> WorkspaceState:
    """The message about a workspace. Of its annotations only ours travel, and those of providers."""
    meta = workspace.metadata
    if workspace.spec is None and not meta.deleting:
        raise ValueError(f"workspace {meta.namespace}/{meta.name} has no spec to publish")
    return WorkspaceState(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        resource_version=meta.resource_version,
        spec=_last_spec(workspace) if meta.deleting else workspace.spec or _UNREADABLE,
        annotations=meta.ours,
        configs=configs,
        plan=workspace.status.plan,
        deleting=meta.deleting,
        held=meta.held,
        created_at=meta.creation_timestamp.astimezone(UTC),
    )


def _last_spec(workspace: Workspace) -> WorkspaceSpec:
    """What of the spec goes into the message that the workspace goes: that must fit, or it would stay for ever."""
    spec = workspace.spec
    return spec if spec is not None and fits(spec, workspace.metadata.ours, {}) else _UNREADABLE
