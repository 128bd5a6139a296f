"""How the tuning container ends, so that the deployer knows whether to try again."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes are those of sysexits.h; any other, such as 137 for a killed process, is tried again."""

    DONE = 0
    BAD_INPUT = 65
    """The data, the settings or the machine's memory: the same again would end the same."""
    PASSES = 75
    """A network or a registry: it may pass by itself, and the run goes on where it was."""


def is_terminal(code: int) -> bool:
    """Whether a container that ended so is not worth another try."""
    return code == ExitCode.BAD_INPUT
