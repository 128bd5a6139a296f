"""Shows the processes of this machine."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.local.control import Seen
from services.cli.view.console import make_console, print_json
from services.cli.view.text import columns

_HEADERS = ("NAME", "PID", "STATE", "LOG")


def show_processes(found: Sequence[Seen]) -> None:
    """Print a line for each."""
    console = make_console()
    for line in columns(_HEADERS, [_row(process) for process in found]):
        console.print(line, markup=False)


def _row(process: Seen) -> list[str]:
    state = "stopped" if process.paused else process.problem or "ready"
    return [process.name, str(process.pid or "-"), state, str(process.log)]


def print_processes(found: Sequence[Seen]) -> None:
    """Print all as JSON."""
    print_json([{**process._asdict(), "log": str(process.log)} for process in found])
