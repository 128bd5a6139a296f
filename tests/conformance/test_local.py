"""The provider `local`: this machine in parts, each with a real node agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.chassis.kube import KubeClient
from tests.conformance.conftest import nodes_of
from tests.conformance.suite import Cloud, ProviderSuite


class TestLocal(ProviderSuite):
    """Its agents outlive the provisioner that is killed, and are adopted by the next."""

    provider = "local"
    page = "local-and-fake.md"
    size = "local-4gi"
    starts = 2

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient, tmp_path: Path) -> AsyncIterator[Cloud]:
        state = tmp_path / "nodes"

        async def left() -> list[str]:
            return [*(path.name for path in (state / "instances").iterdir()), *await nodes_of(kube, "local")]

        yield Cloud({"KAITOBUS_LOCAL_STATE_DIR": str(state)}, {}, left)
