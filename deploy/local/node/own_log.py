"""The agent's own log: whoever starts the agent has its output there, and nobody else keeps it short."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from deploy.local.logs import LIMIT, bound_log

log = logging.getLogger(__name__)

NAME = "agent.log"
"""In the agent's state folder, where the local provisioner has it written."""
LOOK_EVERY = 5.0
"""Seconds."""


async def keep_bounded(folder: Path, limit: int = LIMIT, every: float = LOOK_EVERY) -> None:
    """Cut the log of the agent in `folder` whenever it has more than `limit` bytes, until cancelled.

    Where the output goes elsewhere there is no such file, and nothing to do.
    """
    failed = False
    while True:
        try:
            await asyncio.to_thread(bound_log, folder / NAME, limit)
            failed = False
        except OSError as error:
            if not failed:  # once: every word makes the log longer
                log.warning("the agent's log cannot be cut: %s", error)
            failed = True
        await asyncio.sleep(every)
