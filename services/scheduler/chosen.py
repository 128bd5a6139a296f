"""A decision with its reason, so that neither is written down without the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Chosen(NamedTuple, Generic[T]):
    """A value, and why it was chosen: one sentence for a person."""

    value: T
    why: str


Flags = Mapping[str, Chosen[str]]
"""Flags by name, without dashes; an empty value is a switch."""
