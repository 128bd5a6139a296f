"""How `up` and `down` say what they do, whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Note = Callable[[str], None]
"""Told one line of plain text about what goes on now."""


class Steps(Protocol):
    """Shows one step after the other."""

    def step(self, title: str, first_time: str = "") -> AbstractContextManager[Note]:
        """Show that a step has begun, and how it ended when the context is left.

        `first_time` is shown when the step takes long: how long it takes where nothing is there yet.
        """
        ...

    def say(self, line: str) -> None:
        """Show a line that belongs to no step."""
        ...
