"""A container's environment and command line: what Kubernetes says they are, from what was looked up before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from deploy.local.node.downward import Place, pod_field, resource_field
from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container, EnvFrom, EnvVar
from deploy.local.node.sources import ConfigError, Files, Sources

_REFERENCE = re.compile(r"\$\$|\$\(([^()$]+)\)")
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with each $(NAME) replaced. An unknown name stays as it is, and $$(NAME) is a way to write $(NAME)."""

    def replacement(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return values.get(found[1], found[0])

    return _REFERENCE.sub(replacement, text)


def expand_all(texts: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """`expand` for a command line."""
    return [expand(text, values) for text in texts]


def container_env(
    pod: Pod, container: Container, sources: Sources, place: Place, base: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a container: `base`, then envFrom, then env, later ones winning.

    Raises ConfigError when it refers to something that is missing.
    """
    values = dict(base)
    for source in container.env_from:
        values |= dict(_env_from(source, sources))
    for variable in container.env:
        value = _value(pod, container, variable, sources, place, values)
        if value is not None:
            values[variable.name] = value
    return values


def _env_from(source: EnvFrom, sources: Sources) -> Iterator[tuple[str, str]]:
    for kind, ref in (("ConfigMap", source.config_map_ref), ("Secret", source.secret_ref)):
        if ref is None:
            continue
        files: Files = sources.files(kind, ref.name, optional=ref.optional)
        for key, value in files.items():
            if _NAME.fullmatch(source.prefix + key):  # As the kubelet: what is no name is passed over.
                yield source.prefix + key, _text(value, kind, ref.name, key)


def _value(
    pod: Pod, container: Container, variable: EnvVar, sources: Sources, place: Place, values: Mapping[str, str]
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, values)
    if source.field_ref:
        return pod_field(pod, source.field_ref.field_path, place)
    if source.resource_field_ref:
        return resource_field(pod, container, source.resource_field_ref, place)
    for kind, ref in (("ConfigMap", source.config_map_key_ref), ("Secret", source.secret_key_ref)):
        if ref is not None:
            value = sources.value(kind, ref.name, ref.key, optional=ref.optional)
            return None if value is None else _text(value, kind, ref.name, ref.key)
    raise ConfigError(f"variable {variable.name!r}: this node does not know where its value comes from")


def _text(value: bytes, kind: str, name: str, key: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"key {key!r} of {kind} {name!r} is not text and cannot be a variable") from error
    if "\0" in text:
        raise ConfigError(f"key {key!r} of {kind} {name!r} holds a zero byte and cannot be a variable")
    return text
