"""What all tiers share: a run that is told to end takes down what it started, and a failure shows its logs."""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType

import pytest
from hypothesis import settings

from tests.stack import Stack

# How long an example takes says something of the machine, not of the code.
settings.register_profile("kaitobus", deadline=None)
settings.load_profile("kaitobus")


def pytest_configure() -> None:
    """SIGTERM ends a run as Ctrl-C does. Without it servers that the fixtures started would be left running."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test on a whole stack fails, show the ends of its services' logs with it."""
    report = yield
    values = getattr(item, "funcargs", {}).values()
    if report.failed:
        for stack in (value for value in values if isinstance(value, Stack)):
            report.sections += [(f"log of {name}", text) for name, text in stack.logs().items()]
    return report
