"""The machine size that is asked for, as far as it can be judged without any provider. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.contracts.workspace import Resource

_SIZE = re.compile(r"\S+")


def invalid_machine(resource: Resource) -> Iterator[str]:
    """A name that no size can have: an empty one, or one with blanks."""
    name = resource.instance_type
    if name is not None and not _SIZE.fullmatch(name):
        yield (
            f"resource.instanceType is {name[:100]!r}, which no machine size is called: write its cloud's name without "
            "blanks, or leave it out to have the cheapest that fits chosen."
        )
