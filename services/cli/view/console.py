"""Where output goes: colours on a terminal, plain text in a pipe."""

from __future__ import annotations

import json
import sys

from rich.console import Console

STATE_STYLES = {
    "Ready": "green",
    "Running": "green",
    "Succeeded": "green",
    "Failed": "red",
    "NotReady": "red",
    "Simulated": "magenta",
    "Deleting": "dim",
}
"""Colours of a Workspace's state."""


def make_console() -> Console:
    """A console on standard output. In a pipe lines are never cut or wrapped."""
    return Console(highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Write a value as JSON for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
