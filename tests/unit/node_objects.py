"""Pods and containers for the tests of the node agent."""

from __future__ import annotations

from pathlib import Path

from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container

POD_DIR = Path("/state/pods/u1")


def make_container(name: str = "main", **fields: object) -> Container:
    return Container.model_validate({"name": name, "image": "test/shell", "command": ["true"], **fields})


def make_pod(
    *containers: Container,
    init: tuple[Container, ...] = (),
    labels: dict[str, str] | None = None,
    deleted: str | None = None,
    status: dict[str, object] | None = None,
    **spec: object,
) -> Pod:
    """A pod as the API server would send it; `spec` are further fields of its spec."""
    own = [
        container.model_dump(by_alias=True, exclude_defaults=True) for container in containers or (make_container(),)
    ]
    first = [container.model_dump(by_alias=True, exclude_defaults=True) for container in init]
    metadata = {"name": "p", "namespace": "ns", "uid": "u1", "labels": labels or {}, "deletionTimestamp": deleted}
    return Pod.model_validate(
        {"metadata": metadata, "spec": {"containers": own, "initContainers": first, **spec}, "status": status or {}}
    )
