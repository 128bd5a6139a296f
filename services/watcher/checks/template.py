"""A pod of the user's own, as far as it must be right before nodes are bought for it. Pure.

The rest of it is Kubernetes' to judge, when the workload is made.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.chassis.kube import dig_list, dig_str
from services.contracts.workspace import Schemaless

_EXAMPLE = "such as containers: [{name: server, image: registry.example.com/server:v1}]."


def invalid_template(template: Schemaless) -> Iterator[str]:
    """What a pod cannot be without."""
    containers = dig_list(template, "spec", "containers")
    if not containers:
        yield f"inference.template.spec has no containers. A pod runs at least one with a name and an image, {_EXAMPLE}"
    for index, container in enumerate(containers):
        for field in ("name", "image"):
            if not dig_str(container, field):
                yield f"inference.template.spec.containers[{index}] has no {field}. Give it one, {_EXAMPLE}"
