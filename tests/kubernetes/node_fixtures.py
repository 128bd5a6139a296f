"""What the tests of the node agent share: nodes of a test's own, a namespace, and looks through kubectl."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.node_agent import Agent, eventually, left_outside, manifest, pids_below


@pytest.fixture
def own_agent(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Agent]:
    """A node for one test, which may do to it what it likes."""
    agent = Agent(f"node-{uuid.uuid4().hex[:6]}", control_plane, tmp_path)
    agent.start()
    yield agent
    agent.stop()
    assert pids_below(agent.state) == set()
    assert left_outside(agent.state) == []


@pytest_asyncio.fixture
async def ns(kubectl: Kubectl) -> AsyncIterator[Kubectl]:
    """Kubectl in a namespace of this test, which goes with all that is in it."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    await kubectl("create", "namespace", name)

    async def run(*arguments: str, stdin: str = "") -> str:
        return await kubectl("-n", name, *arguments, stdin=stdin)

    yield run
    await kubectl("delete", "namespace", name, "--wait=false")


async def apply(ns: Kubectl, *objects: Mapping[str, object]) -> None:
    for obj in objects:
        await ns("apply", "-f", "-", stdin=manifest(obj))


def field(ns: Kubectl, what: str, path: str) -> Callable[[], Awaitable[str]]:
    return lambda: ns("get", what, "-o", f"jsonpath={{{path}}}", "--ignore-not-found")


async def becomes(ns: Kubectl, what: str, path: str, value: str) -> None:
    await eventually(field(ns, what, path), lambda seen: seen == value, f"{what} {path} is {value}")


async def ready(ns: Kubectl, name: str) -> None:
    await becomes(ns, f"pod/{name}", '.status.conditions[?(@.type=="Ready")].status', "True")


async def log_says(ns: Kubectl, name: str, text: str) -> str:
    async def look() -> str:
        try:
            return await ns("logs", name)
        except AssertionError as not_yet:
            return str(not_yet)

    return await eventually(look, lambda seen: text in seen, f"the log of {name} says {text!r}")
