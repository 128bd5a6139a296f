"""What containers and volumes refer to: the content of ConfigMaps and Secrets, and service account tokens."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container
from deploy.local.node.tokens import Tokens
from services.chassis.kube import CONFIGMAPS, SECRETS, JsonObject, KubeClient, ObjectRef, dig_dict

Files = Mapping[str, bytes]
"""Content by key."""


class ConfigError(Exception):
    """The pod refers to something that is not there, or that cannot be used. The message says what to change."""


class Name(NamedTuple):
    """A ConfigMap or a Secret of the pod's namespace."""

    kind: str
    name: str


class Sources(NamedTuple):
    """What was found. A name that is missing here does not exist."""

    found: Mapping[Name, Files]
    tokens: Mapping[str, str] = {}
    """Service account tokens by audience."""

    def files(self, kind: str, name: str, *, optional: bool) -> Files:
        """All keys of a ConfigMap or Secret. Raises ConfigError when it is missing and not optional."""
        files = self.found.get(Name(kind, name))
        if files is None and not optional:
            raise ConfigError(f"{kind} {name!r} does not exist in the pod's namespace; create it, the pod then goes on")
        return files or {}

    def value(self, kind: str, name: str, key: str, *, optional: bool) -> bytes | None:
        """One key. None when it is missing and optional. Raises ConfigError."""
        files = self.files(kind, name, optional=optional)
        if key not in files and not optional:
            raise ConfigError(f"{kind} {name!r} has no key {key!r}; it has: {', '.join(sorted(files)) or 'none'}")
        return files.get(key)


async def fetch_sources(client: KubeClient, pod: Pod, tokens: Tokens) -> Sources:
    """Read everything that the pod refers to. Raises KubeError."""
    found: dict[Name, Files] = {}
    for wanted in sorted(set(_referenced(pod))):
        resource = SECRETS if wanted.kind == "Secret" else CONFIGMAPS
        obj = await client.get(ObjectRef(resource, wanted.name, pod.metadata.namespace))
        if obj is not None:
            found[wanted] = content(wanted.kind, obj)
    audiences = sorted(set(_audiences(pod)))
    return Sources(found, {audience: await tokens.token(pod, audience) for audience in audiences})


def content(kind: str, obj: JsonObject) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret object. What is not valid base64 is left out."""
    plain = {} if kind == "Secret" else dig_dict(obj, "data")
    encoded = dig_dict(obj, "data") if kind == "Secret" else dig_dict(obj, "binaryData")
    files = {key: str(text).encode() for key, text in plain.items()}
    for key, text in encoded.items():
        try:
            files[key] = base64.b64decode(str(text), validate=True)
        except binascii.Error:
            continue
    return files


def _referenced(pod: Pod) -> Iterator[Name]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        yield from _referenced_by_env(container)
    for volume in pod.spec.volumes:
        for source in volume.projections:
            if source.config_map:
                yield Name("ConfigMap", source.config_map.name)
            if source.secret:
                yield Name("Secret", source.secret.secret_name or source.secret.name)


def _referenced_by_env(container: Container) -> Iterator[Name]:
    for source in container.env_from:
        if source.config_map_ref:
            yield Name("ConfigMap", source.config_map_ref.name)
        if source.secret_ref:
            yield Name("Secret", source.secret_ref.name)
    for variable in container.env:
        if variable.value_from and (key := variable.value_from.config_map_key_ref):
            yield Name("ConfigMap", key.name)
        if variable.value_from and (key := variable.value_from.secret_key_ref):
            yield Name("Secret", key.name)


def _audiences(pod: Pod) -> Iterator[str]:
    for volume in pod.spec.volumes:
        for source in volume.projections:
            if source.service_account_token:
                yield source.service_account_token.audience
