"""What a Workspace may be called, and the ConfigMaps and Secrets that it names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.contracts.labels import LONGEST_SUBDOMAIN, is_subdomain
from services.contracts.workspace import Tuning, WorkspaceSpec

LONGEST_NAME = 52
"""A StatefulSet puts its name, a dash and a hash of ten into a label of its pods; labels hold 63 characters."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""A DNS-1035 label: what a Service may be called."""
_PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*")
"""Stands in documents for a name of one's own."""


def invalid_name(name: str) -> Iterator[str]:
    """Kubernetes takes longer names for a Workspace than for the StatefulSet and the Service it becomes."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        yield (
            f"metadata.name must begin with a letter, have small letters, digits and dashes only, and at most "
            f"{LONGEST_NAME} characters: the StatefulSet and the Service are named after it. "
            "Create the Workspace under another name."
        )


def invalid_references(spec: WorkspaceSpec) -> Iterator[str]:
    """Names that no ConfigMap or Secret of the Workspace's namespace can have."""
    part = "tuning" if spec.tuning else "inference"
    named = [*([(spec.config, f"{part}.config", "ConfigMap")] if spec.config else ())]
    named += [(name, field, "Secret") for name, field in named_secrets(spec)]
    for name, field, kind in named:
        if not is_subdomain(name) and not (kind == "Secret" and _stands_for_another(name, field)):
            yield (
                f"{field} is {name[:100]!r}, which is no name of a {kind}: use at most {LONGEST_SUBDOMAIN} small "
                f"letters, digits, dashes and dots, with a letter or digit at both ends. The {kind} is looked for in "
                "the Workspace's namespace."
            )


def _stands_for_another(name: str, field: str) -> bool:
    """A placeholder, as manifests in documents have, is taken for tuning: the pod says that it has no credentials."""
    return field.startswith("tuning.") and _PLACEHOLDER.fullmatch(name) is not None


def named_secrets(spec: WorkspaceSpec) -> Iterator[tuple[str, str]]:
    """Each secret that the spec names, with the field that does."""
    preset = spec.preset
    options = preset.preset_options if preset else None
    if options and options.model_access_secret:
        yield options.model_access_secret, "presetOptions.modelAccessSecret"
    for name in (options.image_pull_secrets or ()) if options else ():
        yield name, "presetOptions.imagePullSecrets"
    for index, adapter in enumerate(spec.inference.adapters or () if spec.inference else ()):
        for name in (adapter.source.image_pull_secrets or ()) if adapter.source else ():
            yield name, f"inference.adapters[{index}].source.imagePullSecrets"
    if spec.tuning:
        yield from _named_for_tuning(spec.tuning)


def _named_for_tuning(tuning: Tuning) -> Iterator[tuple[str, str]]:
    for name in tuning.input.image_pull_secrets or ():
        yield name, "tuning.input.imagePullSecrets"
    if tuning.output.image and tuning.output.image_push_secret:
        yield tuning.output.image_push_secret, "tuning.output.imagePushSecret"
