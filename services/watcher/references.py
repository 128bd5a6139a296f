"""What a Workspace names in its namespace: ConfigMaps, whose content is read, and secrets, which must only exist.

With what `validate` finds in the Workspace itself that is all that can be wrong with it before it is planned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.chassis.kube import CONFIGMAPS, SECRETS, KubeClient, ObjectRef, dig_dict
from services.contracts.conditions import Reason
from services.contracts.labels import is_subdomain
from services.contracts.serving import ANNOTATION_API_KEY_SECRET, serving_of
from services.contracts.workspace import CONFIG_KEY_INFERENCE, CONFIG_KEY_TUNING, WorkspaceSpec
from services.watcher.checks.names import named_secrets
from services.watcher.checks.size import fits, too_long_config, too_long_spec
from services.watcher.validate import Problem, find_problem
from services.watcher.workspace import Workspace


class Referenced(NamedTuple):
    """What was found: the content of ConfigMaps by key, or what is missing."""

    configs: dict[str, str]
    problem: Problem | None


async def examine(kube: KubeClient, workspace: Workspace) -> Referenced:
    """What is wrong with a workspace, or else what it names. Raises KubeError if the API server does not answer."""
    problem = find_problem(workspace)
    if problem is not None or workspace.spec is None:
        return Referenced({}, problem)
    meta, spec = workspace.metadata, workspace.spec
    found = await look_up(kube, meta.namespace, spec, meta.annotations)
    return found if found.problem else found._replace(problem=_too_long(spec, meta.ours, found.configs))


def _too_long(spec: WorkspaceSpec, annotations: Mapping[str, str], configs: Mapping[str, str]) -> Problem | None:
    if not fits(spec, annotations, {}):
        return Problem(reason=Reason.INVALID_SPEC, message=too_long_spec(spec, annotations))
    if not fits(spec, annotations, configs):
        return Problem(reason=Reason.INVALID_CONFIG, message=too_long_config(spec, configs))
    return None


async def look_up(kube: KubeClient, namespace: str, spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Referenced:
    """Read what a valid Workspace names. Raises KubeError if the API server does not answer."""
    configs, problem = await _config(kube, namespace, spec)
    if problem is None:
        named = secret_names(spec, annotations)
        missing = await asyncio.gather(*(_missing(kube, namespace, *one) for one in named))
        problem = next((found for found in missing if found), None)
    return Referenced(configs, problem)


async def _config(kube: KubeClient, namespace: str, spec: WorkspaceSpec) -> tuple[dict[str, str], Problem | None]:
    if spec.config is None:
        return {}, None
    key = CONFIG_KEY_TUNING if spec.tuning else CONFIG_KEY_INFERENCE
    found = await kube.get(ObjectRef(CONFIGMAPS, spec.config, namespace))
    if found is None:
        return {}, Problem(
            reason=Reason.CONFIG_MAP_NOT_FOUND,
            message=f"ConfigMap {spec.config} is not in namespace {namespace}. Create it with the key {key}, "
            "or remove config. It is looked for again every few seconds.",
        )
    data = {name: str(text) for name, text in dig_dict(found, "data").items()}
    if key not in data:
        return {}, Problem(
            reason=Reason.INVALID_CONFIG,
            message=f"ConfigMap {spec.config} has no key {key}; it has {', '.join(sorted(data)) or 'no keys'}.",
        )
    return {key: data[key]}, None


async def _missing(kube: KubeClient, namespace: str, name: str, use: str) -> Problem | None:
    # The secret's content is not kept: that it exists is all that is told to others.
    if await kube.get(ObjectRef(SECRETS, name, namespace)) is not None:
        return None
    return Problem(
        reason=Reason.SECRET_NOT_FOUND,
        message=f"Secret {name}, named by {use}, is not in namespace {namespace}. Create it, or change the name. "
        "It is looked for again every few seconds.",
    )


def secret_names(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each secret that is needed to start, with the field or annotation that names it.

    Only those that can exist: a placeholder in capitals, as manifests in documents have, does not keep a plan back.
    """
    for name, field in named_secrets(spec):
        if is_subdomain(name):
            yield name, field
    if secret := serving_of(annotations).api_key_secret:
        yield secret, f"the annotation {ANNOTATION_API_KEY_SECRET}"
