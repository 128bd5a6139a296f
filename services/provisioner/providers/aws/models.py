"""The SDK's tables of a service's operations, with no more in memory than is used of them.

botocore describes a service by one file, reads it whole, and keeps it. That of EC2 takes 20 MB in memory, of which this
provider needs one operation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from botocore.loaders import Loader
from botocore.session import Session

from services.chassis.kube import JsonObject, dig_dict

USED: Final[Mapping[str, frozenset[str]]] = {"ec2": frozenset({"DescribeInstanceTypeOfferings"})}
"""Of services with large tables: the operations that are asked for."""
OPERATIONS: Final = "service-2"
"""How botocore calls the table of operations."""


class LeanLoader(Loader):  # type: ignore[misc]  # botocore has no types
    """Loads what the other does, and of a service with a large table only the operations that are used."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> JsonObject:
        """As the other's."""
        if type_name != OPERATIONS or service_name not in USED:
            found: JsonObject = super().load_service_model(service_name, type_name, api_version)
            return found
        # Another loader, because a loader keeps whatever it has read.
        whole = Loader(list(self.search_paths)).load_service_model(service_name, type_name, api_version)
        # Read anew from text, what is kept lies together, and the rest goes back to the system.
        text = json.dumps(only(whole, USED[service_name]))
        del whole
        lean: JsonObject = json.loads(text)
        return lean


def lean_session() -> Session:
    """A session of the SDK that loads so. Its clients share what it has read; it is not to be used by two threads."""
    session = Session()
    paths = session.get_component("data_loader").search_paths
    session.register_component("data_loader", LeanLoader(list(paths)))
    return session


def only(model: JsonObject, names: frozenset[str]) -> JsonObject:
    """A table with these operations, and the shapes that they are made of. Pure."""
    operations = {name: value for name, value in dig_dict(model, "operations").items() if name in names}
    shapes, wanted = dig_dict(model, "shapes"), set(_shapes_in(operations))
    kept: JsonObject = {}
    while wanted:
        name = wanted.pop()
        kept[name] = shapes[name]
        wanted |= set(_shapes_in(shapes[name])) - kept.keys()
    return {**model, "operations": operations, "shapes": kept}


def _shapes_in(part: object) -> Iterator[str]:
    """The names of the shapes that a part of a table speaks of."""
    if isinstance(part, dict):
        if isinstance(name := part.get("shape"), str):
            yield name
        for value in part.values():
            yield from _shapes_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from _shapes_in(value)
