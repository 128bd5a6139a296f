"""What all tiers share: a run that is told to end takes down what it started, and a failure shows its logs."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from execnet.gateway import Gateway
from hypothesis import settings
from xdist.workermanage import NodeManager

from deploy.local import ports
from tests.plane import control_plane, kubectl, workspace_crd
from tests.stack import Stack

__all__ = ["control_plane", "kubectl", "workspace_crd"]

# How long an example takes says something of the machine, not of the code.
settings.register_profile("kaitobus", deadline=None)
settings.load_profile("kaitobus")


FOLDER = Path(__file__).parent
LONGEST = (
    "chaos/test_kill.py",
    "conformance/test_aws.py",
    "chaos/test_bus_faults.py",
    "conformance/test_fake.py",
    "chaos/test_start.py",
    "kubernetes/test_crash_points.py",
    "chaos/test_cloud_refusals.py",
    "kubernetes/test_cloud_faults.py",
    "chaos/test_change.py",
    "chaos/test_refusals.py",
    "conformance/test_azure.py",
    "integration/test_conformance.py",
    "conformance/test_karpenter.py",
    "kubernetes/test_node_agent_life.py",
    "conformance/test_byo.py",
    "conformance/test_local.py",
    "kubernetes/test_examples.py",
    "kubernetes/test_provider_byo_shares.py",
    "kubernetes/test_provisioner.py",
    "kubernetes/test_node_agent.py",
    "kubernetes/test_control_plane.py",
)
"""Files that take a worker a minute and more, and what else is of chaos, those that mostly wait among those that mostly
work. Begun last, the other workers would wait for them in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, and what needs no cluster last: it is short."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    file = item.path.relative_to(FOLDER)
    if file.as_posix() in LONGEST:
        return LONGEST.index(file.as_posix())
    return len(LONGEST) + (file.parts[0] == "integration")


gc.disable()
"""All that is collected stays: to look for garbage meanwhile takes as long as to collect it."""

_workers: set[int] = set()
"""The pids of the processes that share the tests of this run."""


def pytest_configure() -> None:
    """SIGTERM ends a run as Ctrl-C does. Without it servers that the fixtures started would be left running."""
    signal.signal(signal.SIGTERM, _interrupt)
    _keep_to_own_ports()


def pytest_xdist_newgateway(gateway: Gateway) -> None:
    """Note a worker of pytest-xdist. It has a minute to end what it has started before it is killed."""
    NodeManager.EXIT_TIMEOUT = 60
    _workers.add(gateway._rinfo().pid)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off what the first one set going
    for pid in _workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    raise KeyboardInterrupt


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """From here on there is garbage; what was loaded for all tests is not walked through for it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _keep_to_own_ports() -> None:
    """A worker takes every nth port: two that look for a free one at the same moment do not find the same."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    ports.RANGE = ports.RANGE[int(worker.removeprefix("gw")) % int(count) :: int(count)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test had to be run again: that it passed then does not make it right."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"first, {report.nodeid}, in {report.when}")
        terminalreporter.line(report.longreprtext)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test on a whole stack fails, show the ends of its services' logs with it."""
    report = yield
    values = getattr(item, "funcargs", {}).values()
    if report.failed:
        for stack in (value for value in values if isinstance(value, Stack)):
            report.sections += [(f"log of {name}", text) for name, text in stack.logs().items()]
    return report
