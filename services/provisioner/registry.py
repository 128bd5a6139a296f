"""Which providers there are. Only the chosen one is imported, and its cloud's SDK with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from services.chassis.kube import KubeClient
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Provider

GROUP: Final = "kaitobus.providers"
"""The entry-point group by which another distribution brings a provider of its own."""

_BUILT_IN: Final = {
    "aws": "services.provisioner.providers.aws:make",
    "local": "services.provisioner.providers.local:make",
    "fake": "services.provisioner.providers.fake:make",
    "azure": "services.provisioner.providers.azure:make",
    "karpenter": "services.provisioner.providers.karpenter:make",
    "byo": "services.provisioner.providers.byo:make",
}


@dataclass(frozen=True)
class Context:
    """What a provider may use of the process: the cluster, and the nodes that carry its label."""

    kube: KubeClient
    nodes: Nodes
    name: str = ""
    """The name under which the provider serves; a provider that serves under its own name alone ignores it."""


Factory = Callable[[Context], Awaitable[Provider]]
"""What an entry point names. It reads the provider's own settings from the environment."""


class UnknownProvider(Exception):
    """There is no provider of that name."""


def find(name: str) -> Factory:
    """The provider's factory. Raises `UnknownProvider`, which says the names there are."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    points |= {key: EntryPoint(key, value, GROUP) for key, value in _BUILT_IN.items()}
    if name not in points:
        raise UnknownProvider(
            f"there is no provider {name!r}; KAITOBUS_PROVIDER can be one of {', '.join(sorted(points))}"
        )
    return cast("Factory", points[name].load())
