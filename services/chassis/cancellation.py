"""Cancellation that is not lost."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task has been asked to end.

    nats-py swallows a cancellation that comes while it flushes its buffer. A loop that calls it would go on as if
    nothing had been asked, and who waits for its end would wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
