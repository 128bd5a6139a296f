"""One stack for all tests of a file, whole again before each test, and a witness of all that it does."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import NAMESPACES
from tests.chaos.cast import Cast
from tests.chaos.witness import Witness
from tests.stack import Stack, running

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test has five minutes without its fixtures: starts of processes are long where the machine is slow.

    The first session may have to build Kubernetes.
    """
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def whole(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("chaos"), control_plane) as stack:
        yield stack


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def witness(whole: Stack) -> AsyncIterator[Witness]:
    found = Witness(whole.kube)
    watching = asyncio.create_task(found.watch())
    yield found
    watching.cancel()


@pytest_asyncio.fixture(loop_scope="session")
async def stack(whole: Stack) -> Stack:
    """Everything runs, one of each."""
    await whole.start()
    return whole


@pytest_asyncio.fixture(loop_scope="session")
async def cast(stack: Stack, witness: Witness) -> AsyncIterator[Cast]:
    """Workspaces in a namespace of the test's own. Whatever the test did, they go in the end, and all of them."""
    namespace = f"chaos-{secrets.token_hex(4)}"
    await stack.kube.create(NAMESPACES, {"metadata": {"name": namespace}})
    found = Cast(stack, witness, namespace)
    yield found
    await stack.start()
    await found.delete_all()
    await found.nothing_is_left()
