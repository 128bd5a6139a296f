"""Ties a process to the one that started it."""

from __future__ import annotations

import ctypes
import signal
from typing import Final

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Have this process killed when its parent ends (prctl(2)): its successor would write to the same files."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
