"""The cluster, and a nats-server of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import NODES, KubeClient, ObjectRef
from services.contracts.workspace import LABEL_PROVIDER
from tests.conformance.under_test import Place
from tests.integration.conftest import NatsServer
from tests.kubernetes.service_fixtures import nats_server

__all__ = ["nats_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A run of the whole suite takes minutes; the first session may have to build Kubernetes on top."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(400, func_only=True))


@pytest_asyncio.fixture(loop_scope="session")
async def kube(
    control_plane: ControlPlane, workspace_crd: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubeClient]:
    """The cluster, also for provisioners that are started meanwhile."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    async with await KubeClient.connect(str(control_plane.kubeconfig)) as kube:
        yield kube


async def node_names(kube: KubeClient, labels: str) -> list[str]:
    """The nodes with these labels."""
    return [ObjectRef.of(NODES, node).name for node in (await kube.list(NODES, labels=labels)).items]


async def nodes_of(kube: KubeClient, provider: str) -> list[str]:
    """The nodes that a provider has made."""
    return await node_names(kube, f"{LABEL_PROVIDER}={provider}")


@pytest_asyncio.fixture(loop_scope="session")
async def place(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Place]:
    """Where provisioners are put under test; all that runs there ends with the test."""
    async with Place(nats_server.url, tmp_path) as place:
        yield place
