"""For all tiers: a run that is told to end takes down what its fixtures started."""

from __future__ import annotations

import signal
from types import FrameType


def pytest_configure() -> None:
    """SIGTERM ends a run as Ctrl-C does. Without it servers that the fixtures started would be left running."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
