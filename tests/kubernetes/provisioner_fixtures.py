"""What the tests of the provisioner share: a bus, a cluster with our CRD, and provisioners that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import nats.errors
import pytest
import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from deploy.local.ports import free_port
from services.chassis.bus import Bus
from services.chassis.kube import NODES, PODS, WORKSPACES, JsonObject, KubeClient, ObjectRef, dig_str
from services.chassis.metrics import Metrics
from services.chassis.newcomers import Newcomers
from services.chassis.service import Service
from services.chassis.topology import Topology
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName, report
from services.provisioner.app import wire
from services.provisioner.settings import ProvisionerSettings
from tests.integration.conftest import NatsServer, connected_bus, nats_on
from tests.stack import pauses

T = TypeVar("T")

SIZE = "Standard_NC48ads_A100_v4"
"""Two GPUs."""


class World:
    """A test's own bus on the shared cluster, and a workspace's name that nobody else has."""

    def __init__(self, bus: Bus, kube: KubeClient, nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = bus
        self.kube = kube
        self.nats = nats
        self.env = monkeypatch
        self.name = f"w-{uuid.uuid4().hex[:8]}"
        self.uid = str(uuid.uuid4())

    def demand(
        self, nodes: int, revision: int = 1, provider: str = "fake", size: str = SIZE, **parameters: str
    ) -> Demand:
        return Demand(
            namespace="default", name=self.name, uid=self.uid, generation=1, plan_revision=revision,
            provider=provider, nodes=nodes, instance_type=size, labels={"apps": self.name},
            taints=("sku=gpu:NoSchedule",), parameters={k.replace("_", "-"): v for k, v in parameters.items()},
        )  # fmt: skip

    @asynccontextmanager
    async def provisioner(self, provider: str = "fake", **settings: float | str) -> AsyncIterator[Service]:
        """A provisioner in this process. On leaving it is cut off where it stands."""
        own = {"provider": provider, "nats_url": self.nats.url, "http_port": free_port(), "workers": 8}
        chosen = ProvisionerSettings.model_validate(own | settings)
        service = Service("provisioner", chosen)
        others = asyncio.all_tasks()
        try:
            await wire(service, chosen)
            asyncio.create_task(service.run())  # noqa: RUF006 - held by all_tasks until it is cut off below
            yield service
        finally:
            await _cut_off(asyncio.all_tasks() - others)
            await service.resources.aclose()  # a process that is gone leaves no sockets open

    async def report(self, provider: str = "fake") -> Report | None:
        return await self.bus.newest(Report, report(ServiceName.PROVISIONER, "default", self.name, provider))

    async def until_report(
        self, wanted: Callable[[Report], object], seconds: float = 60, provider: str = "fake"
    ) -> Report:
        async def found() -> Report | None:
            said = await self.report(provider)
            return said if said and wanted(said) else None

        return await until(found, seconds, lambda: self.report(provider))

    async def nodes(self, uid: str | None = None) -> list[JsonObject]:
        return (await self.kube.list(NODES, labels=f"kaito.sh/workspace-uid={uid or self.uid}")).items

    async def node_names(self) -> list[str]:
        return sorted(dig_str(node, "metadata", "name") for node in await self.nodes())

    async def apply_workspace(self) -> str:
        """A real Workspace of this name; returns its uid."""
        workspace: JsonObject = {
            "apiVersion": WORKSPACES.api_version,
            "kind": "Workspace",
            "metadata": {"name": self.name, "namespace": "default"},
            "resource": {"labelSelector": {"matchLabels": {"apps": self.name}}},
            "inference": {"preset": {"name": "phi-4"}},
        }
        return dig_str(await self.kube.create(WORKSPACES, workspace), "metadata", "uid")

    async def delete_workspace(self) -> None:
        await self.kube.delete(ObjectRef(WORKSPACES, self.name, "default"))

    async def pod(self, name: str) -> JsonObject | None:
        return await self.kube.get(ObjectRef(PODS, name, "default"))


def ready(said: Report) -> bool:
    return bool(said.conditions) and all(c.is_true for c in said.conditions)


async def until(
    look: Callable[[], Awaitable[T | None]],
    seconds: float = 60,
    otherwise: Callable[[], Awaitable[object]] | None = None,
) -> T:
    """Wait until a look brings something, and return it. A look that is not answered in time has seen nothing."""
    try:
        async with asyncio.timeout(seconds):
            for pause in pauses():
                with contextlib.suppress(nats.errors.TimeoutError):
                    if found := await look():
                        return found
                await asyncio.sleep(pause)
    except TimeoutError:
        pass
    raise AssertionError(f"it never came; last seen: {await otherwise() if otherwise else None}")


async def _cut_off(tasks: set[asyncio.Task[object]]) -> None:
    """More than once: nats-py swallows a cancellation that comes while it writes to the socket."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.5)


async def _own_topology(bus: Bus) -> None:
    """The watcher's part: a consumer for each provider that offers."""
    async with Newcomers.heard(bus.client) as newcomers:
        while True:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                await Topology(bus.js, Metrics()).ensure()
            await newcomers.wait(1.0)


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    control_plane: ControlPlane, workspace_crd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    for name in ("BOOT", "PULL", "START", "JOB"):
        monkeypatch.setenv(f"KAITOBUS_FAKE_{name}_SECONDS", "0.3")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nats_on(tmp_path / "jetstream"))
        bus = await stack.enter_async_context(connected_bus(server.url))
        kube = await stack.enter_async_context(await KubeClient.connect(str(control_plane.kubeconfig)))
        await Topology(bus.js, Metrics()).ensure()
        owner = asyncio.create_task(_own_topology(bus))
        yield World(bus, kube, server, monkeypatch)
        for node in (await kube.list(NODES)).items:
            await kube.delete(ObjectRef.of(NODES, node))
        await _cut_off({owner})


async def none(look: Awaitable[object]) -> bool:
    """Whether nothing is there."""
    return not await look
