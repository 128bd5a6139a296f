"""How long a Workspace may be with all that travels with it: a message of NATS holds 1 MiB. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.contracts.base import Contract
from services.contracts.workspace import WorkspaceSpec

MOST_BYTES: Final = 480 * 1024
"""The plan repeats what its workload is made from (a template, flags, adapters), and travels in one message with the
Workspace. So a bit less than half of a message is left for either."""


class Told(Contract):
    """What travels of a Workspace before it is planned."""

    spec: WorkspaceSpec
    annotations: Mapping[str, str]
    configs: Mapping[str, str] = {}


def fits(spec: WorkspaceSpec, annotations: Mapping[str, str], configs: Mapping[str, str]) -> bool:
    """Whether it can travel."""
    return len(Told(spec=spec, annotations=annotations, configs=configs).to_json()) <= MOST_BYTES


def too_long_config(spec: WorkspaceSpec, configs: Mapping[str, str]) -> str:
    """What to say where it would fit without its ConfigMap."""
    key, size = next((key, len(text.encode())) for key, text in configs.items())
    return f"ConfigMap {spec.config} has {size:,} bytes under {key}. {_LIMIT} Remove from it what is not needed."


def too_long_spec(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> str:
    """What to say of a Workspace that is too long by itself."""
    size = len(Told(spec=spec, annotations=annotations).to_json())
    return (
        f"The Workspace has {size:,} bytes. {_LIMIT} Put long texts of a template into a ConfigMap that its pod mounts."
    )


_LIMIT = (
    f"With its ConfigMap a Workspace may have {MOST_BYTES:,} bytes ({MOST_BYTES // 1024} KiB): "
    "it travels in one message."
)
