"""Services without a service network: a port of 127.0.0.1 for each port of a Service that has a pod here. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import Field, ValidationError

from deploy.local.node.pod import Pod
from deploy.local.node.ports import pod_target_port
from services.chassis.kube import JsonObject
from services.contracts.base import Contract

ANNOTATION = "local.kaito.sh/addresses"


class ServicePort(Contract):
    """One port of a Service, and where it leads to in the pod."""

    port: int
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(Contract):
    """The parts of a Service's spec that matter here."""

    selector: dict[str, str] = Field(default_factory=dict)
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    cluster_ip: str = Field("", alias="clusterIP")


class ServiceMeta(Contract):
    """Who the Service is."""

    name: str
    namespace: str = "default"
    uid: str
    annotations: dict[str, str] = Field(default_factory=dict)


class Service(Contract):
    """A Service."""

    metadata: ServiceMeta
    spec: ServiceSpec = ServiceSpec()


class LocalPod(NamedTuple):
    """A pod of this node. `ports`: real port by declared port."""

    pod: Pod
    ready: bool
    ports: Mapping[int, int]


class Route(NamedTuple):
    """One port of a Service that gets a port here. `backends`: ports of the ready pods behind it."""

    service: Service
    port: int
    backends: tuple[int, ...]

    @property
    def owner(self) -> str:
        """The name under which its port is kept."""
        return f"service/{self.service.metadata.namespace}/{self.service.metadata.name}/{self.port}"


def parse_service(obj: JsonObject) -> Service | None:
    """A Service that may get ports here: one with a selector and a cluster IP. None for all others."""
    try:
        service = Service.model_validate(obj)
    except ValidationError:
        return None
    stands_alone = service.spec.type == "ExternalName" or service.spec.cluster_ip == "None"
    return service if service.spec.selector and not stands_alone else None


def routes(services: Iterable[Service], pods: Iterable[LocalPod]) -> list[Route]:
    """The ports that are wanted: those of Services that select a pod of this node, ready or not."""
    known = list(pods)
    found = []
    for service in services:
        chosen = [one for one in known if selects(service, one.pod)]
        if chosen:
            tcp = (port for port in service.spec.ports if port.protocol == "TCP")
            found += [Route(service, port.port, _backends(port, chosen)) for port in tcp]
    return found


def selects(service: Service, pod: Pod) -> bool:
    """Whether the pod is one of the Service's."""
    same_namespace = service.metadata.namespace == pod.metadata.namespace
    return same_namespace and service.spec.selector.items() <= pod.metadata.labels.items()


def _backends(port: ServicePort, pods: Iterable[LocalPod]) -> tuple[int, ...]:
    ports = []
    for one in pods:
        declared = pod_target_port(one.pod, port.target_port or port.port)
        if one.ready and declared is not None:
            ports.append(one.ports.get(declared, declared))
    return tuple(ports)


def address_annotation(ports: Mapping[int, int]) -> str | None:
    """The annotation's value, from the real port of each of a Service's ports; None when there is nothing to say."""
    addresses = {str(port): f"127.0.0.1:{real}" for port, real in sorted(ports.items())}
    return json.dumps(addresses) if addresses else None
