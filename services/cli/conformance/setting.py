"""What a run of the suite has to play with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services.cli.conformance.faults import Faults
from services.cli.conformance.outcome import NotAsked
from services.cli.conformance.wire import Wire

Restart = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Setting:
    """`size` is the machine size that is demanded, `nodes` the most of them at a time; `patience` is how many
    seconds nodes may take to come or to go. `restart` restarts the provisioner; None where nobody can.
    """

    wire: Wire
    size: str
    nodes: int
    patience: float
    faults: Faults = field(default_factory=dict)
    restart: Restart | None = None


async def run_shell(command: str, seconds: float = 120) -> None:
    """Run a command of the operator's. Raises `NotAsked` if it fails."""
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        raise NotAsked(f"`{command}` did not end within {seconds:g} s") from None
    if process.returncode:
        raise NotAsked(f"`{command}` ended with {process.returncode}: {errors.decode(errors='replace').strip()[-500:]}")
