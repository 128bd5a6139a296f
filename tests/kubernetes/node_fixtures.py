"""What the tests of the node agent share: nodes of a test's own, a namespace, and looks through kubectl."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from tests.kubernetes.node_agent import Agent, eventually, left_outside, manifest, pids_below
from tests.plane import Kubectl

WATCHES_S = 20
"""Seconds for which one kubectl watches."""


@pytest.fixture(scope="module")
def node(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One node for the tests of a file."""
    agent = Agent(f"node-{uuid.uuid4().hex[:6]}", control_plane, tmp_path_factory.mktemp("node"))
    yield agent
    agent.stop()
    assert pids_below(agent.state) == set()
    assert left_outside(agent.state) == []


@pytest_asyncio.fixture
async def own_agent(node: Agent, ns: Kubectl) -> AsyncIterator[Agent]:
    """A node that runs nothing else, and whose agent the test may kill and start. What the test left there ends."""
    node.know_images("test/shell", "test/python")
    node.start()
    yield node
    node.start()
    await ns("delete", "pods", "--all")

    async def kept() -> str:
        return str([path.name for path in node.state.glob("pods/*")])

    await eventually(kept, lambda seen: seen == "[]", "nothing is left of the test's pods")


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
    """Wait until the field at `path` of an object has that value."""
    await _waited_for(ns, what, f"jsonpath={{{path}}}={value}")


async def ready(ns: Kubectl, what: str) -> None:
    """Wait until a node or a pod is Ready."""
    await _waited_for(ns, what, "condition=Ready")


async def _waited_for(ns: Kubectl, what: str, condition: str) -> None:
    """One kubectl that watches costs less than many that look; what is not there yet it does not wait for."""

    async def wait() -> str:
        try:
            return await ns("wait", what, f"--for={condition}", f"--timeout={WATCHES_S}s")
        except AssertionError as not_yet:
            return f"{not_yet}\n{await ns('get', what, '-o', 'yaml', '--ignore-not-found')}"

    await eventually(wait, lambda seen: seen.endswith("condition met\n"), f"{what}: {condition}")


async def log_says(ns: Kubectl, name: str, text: str) -> str:
    async def look() -> str:
        try:
            return await ns("logs", name)
        except AssertionError as not_yet:
            return str(not_yet)

    return await eventually(look, lambda seen: text in seen, f"the log of {name} says {text!r}")
