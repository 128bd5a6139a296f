"""What the tests of services on a real API server and a real nats-server share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import nats.errors
import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from services.chassis.bus import Bus
from services.chassis.kube import WORKSPACES, JsonObject, KubeClient, ObjectRef, dig_list
from services.chassis.service import Service
from services.contracts.messages import Message
from services.contracts.status import WorkspaceStatus
from tests.integration.conftest import NatsServer, connected_bus, nats_on, service
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.kube_fixtures import client, namespace

__all__ = ["bus", "client", "crd", "cuttable", "namespace", "nats_server"]

PAUSE = 0.02
T = TypeVar("T")
Wire = Callable[[Service], Awaitable[None]]


@pytest_asyncio.fixture(loop_scope="session")
async def crd(workspace_crd: None, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource definition installed, and the environment that services find the cluster by."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))


@pytest_asyncio.fixture(loop_scope="session")
async def cuttable(
    crd: None, control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CuttableWire]:
    """The wire by which services reach the API server, and nobody else does."""
    async with CuttableWire.to(control_plane.kubeconfig, tmp_path) as (wire, through):
        monkeypatch.setenv("KUBECONFIG", str(through))
        yield wire


@pytest_asyncio.fixture(loop_scope="session")
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_on(tmp_path / "jetstream") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connected bus that handles nothing and makes no topology: that is the watcher's."""
    async with connected_bus(nats_server.url) as made:
        yield made


@asynccontextmanager
async def running(name: str, wire: Wire, server: NatsServer, count: int = 1) -> AsyncIterator[list[Service]]:
    """So many processes' worth of a service, in this one."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_one(name, wire, server)) for _ in range(count)]


@asynccontextmanager
async def _one(name: str, wire: Wire, server: NatsServer) -> AsyncIterator[Service]:
    made = service(name, server)
    await wire(made)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(look: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """Look until there is something to see; fails when it does not come. Only what is answered in time is seen."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(nats.errors.TimeoutError):
                if found := await look():
                    return found
            await asyncio.sleep(PAUSE)


async def always(look: Callable[[], Awaitable[object]], seconds: float = 1.0) -> None:
    """Look again and again for so long, and fail as soon as it is not so."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        assert await look()
        await asyncio.sleep(PAUSE)


M = TypeVar("M", bound=Message)


async def newest(bus: Bus, kind: type[M], subject: str) -> M | None:
    """The newest message on a subject, also while there is no bus or no stream yet."""
    try:
        return await bus.newest(kind, subject)
    except Exception:
        return None


class Workspaces:
    """The workspaces of one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def ref(self, name: str = "w") -> ObjectRef:
        return ObjectRef(WORKSPACES, name, self._namespace)

    async def create(self, name: str = "w", **parts: object) -> JsonObject:
        body: JsonObject = {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": name, "namespace": self._namespace},
            "resource": {"instanceType": "Standard_X", "labelSelector": {"matchLabels": {"apps": name}}},
            "inference": {"preset": {"name": "phi-4-mini-instruct"}},
        }
        body = {key: value for key, value in (body | parts).items() if value is not None}
        return await self._client.create(WORKSPACES, body)

    async def get(self, name: str = "w") -> JsonObject | None:
        return await self._client.get(self.ref(name))

    async def status(self, name: str = "w") -> WorkspaceStatus:
        found = await self.get(name)
        return WorkspaceStatus.model_validate((found or {}).get("status") or {})

    async def finalizers(self, name: str = "w") -> list[object]:
        return dig_list(await self.get(name), "metadata", "finalizers")

    async def reason(self, name: str = "w") -> str:
        planned = next((c for c in (await self.status(name)).conditions if c.type == "PlanReady"), None)
        return planned.reason if planned else ""
