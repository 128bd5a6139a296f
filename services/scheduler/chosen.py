"""A decision with its reason, so that neither is written down without the other. Pure."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Chosen(NamedTuple, Generic[T]):
    """A value, and why it was chosen: one sentence for a person."""

    value: T
    why: str
