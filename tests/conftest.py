"""What all tiers share: when a test on a whole stack fails, the ends of its logs are shown with it."""

from collections.abc import Generator

import pytest

from tests.stack import Stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    values = getattr(item, "funcargs", {}).values()
    if report.failed:
        for stack in (value for value in values if isinstance(value, Stack)):
            report.sections += [(f"log of {name}", text) for name, text in stack.logs().items()]
    return report
