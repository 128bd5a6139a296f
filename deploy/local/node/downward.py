"""The downward API: what a pod may know about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container, ResourceFieldRef
from deploy.local.node.quantity import in_units
from deploy.local.node.sources import ConfigError

_ENTRY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Place(NamedTuple):
    """Where the pod runs: the node's address, and what it has to give (Kubernetes quantities by resource)."""

    address: str
    allocatable: Mapping[str, str]


def pod_field(pod: Pod, path: str, place: Place) -> str:
    """The value of a fieldRef. Raises ConfigError for a path that the downward API does not have."""
    if entry := _ENTRY.fullmatch(path):
        values = pod.metadata.labels if entry[1] == "labels" else pod.metadata.annotations
        return values.get(entry[2], "")
    fields = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "metadata.labels": _lines(pod.metadata.labels),
        "metadata.annotations": _lines(pod.metadata.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": place.address,
        "status.hostIPs": place.address,
        "status.podIP": place.address,
        "status.podIPs": place.address,
    }
    if path not in fields:
        raise ConfigError(f"fieldPath {path!r} is not known to this node; it knows {', '.join(fields)}")
    return fields[path]


def resource_field(pod: Pod, own: Container | None, ref: ResourceFieldRef, place: Place) -> str:
    """The value of a resourceFieldRef, in units of its divisor. Without a limit it is what the node has.

    Raises ConfigError for a resource or a container that is not there.
    """
    containers = {one.name: one for one in (*pod.spec.init_containers, *pod.spec.containers)}
    container = containers.get(ref.container_name, own)
    kind, _, resource = ref.resource.partition(".")
    if container is None or kind not in ("limits", "requests"):
        raise ConfigError(f"resourceFieldRef {ref.resource!r} of container {ref.container_name!r} names nothing")
    asked = container.resources.limits if kind == "limits" else container.resources.requests
    quantity = asked.get(resource) or container.resources.limits.get(resource)
    quantity = quantity or place.allocatable.get(resource, "0")
    divisor = "1" if ref.divisor in ("", "0") else ref.divisor
    return str(in_units(quantity, divisor))


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(values.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
