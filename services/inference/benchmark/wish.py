"""What is wanted of the benchmark, in the words of the annotation `kaito.sh/benchmark`. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

_NOW = re.compile(r"now(-[A-Za-z0-9._-]{1,50})?")


class Kind(StrEnum):
    """When to measure: never, once the server is idle, or as soon as nobody is there."""

    OFF = "off"
    IDLE = "idle"
    NOW = "now"


class Wish(NamedTuple):
    """`text` tells one request to measure now from the next: `now`, `now-2`, ..."""

    kind: Kind
    text: str


def read_wish(text: str) -> Wish:
    """What a text wishes. Nothing, or what cannot be read, is `off`: nobody asked for load in so many words."""
    text = text.strip()
    if text in (Kind.IDLE, Kind.OFF, ""):
        return Wish(Kind(text or Kind.OFF), text)
    return Wish(Kind.NOW, text) if _NOW.fullmatch(text) else Wish(Kind.OFF, Kind.OFF)
