"""The azure provider as it runs, on a small Azure on this machine: the real SDK, over TLS, with a real login."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.kube import KubeClient
from services.contracts.workspace import (
    LABEL_OWNER_UID,
    LABEL_PROVIDER,
    LABEL_WORKSPACE,
    LABEL_WORKSPACE_NAMESPACE,
)
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec, Owner, instance_name
from services.provisioner.providers.azure import AzureProvider, make
from services.provisioner.providers.azure.naming import pool_name
from services.provisioner.registry import Context
from tests.azure_arm import certificate
from tests.azure_arm.server import CLUSTER, GROUP, REGION, SECRET, SUBSCRIPTION, AzureArm
from tests.azure_arm.state import JsonObject

SIZE = "Standard_NC24ads_A100_v4"
FAMILY = "standardNCADSA100v4Family"
OWNER = Owner(namespace="default", name="phi", uid="uid-1")


def spec(index: int = 0, owner: Owner = OWNER, **fields: object) -> InstanceSpec:
    labels = {
        LABEL_WORKSPACE: owner.name,
        LABEL_WORKSPACE_NAMESPACE: owner.namespace,
        LABEL_OWNER_UID: owner.uid,
        LABEL_PROVIDER: "azure",
        "apps": "phi",
    }
    known: dict[str, object] = {
        "name": instance_name("azure", owner.uid, index),
        "owner": owner,
        "instance_type": SIZE,
        "labels": labels,
        "taints": ("sku=gpu:NoSchedule",),
    }
    return InstanceSpec.model_validate(known | fields)


def pool_of(wanted: InstanceSpec) -> str:
    return pool_name(wanted.name)


def sku(name: str, family: str = FAMILY, vcpus: int = 24, **fields: object) -> JsonObject:
    capabilities = {"vCPUs": vcpus, "EphemeralOSDiskSupported": "True", "CachedDiskBytes": 256 * 2**30}
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": family,
        "locations": [REGION],
        "locationInfo": [{"location": REGION, "zones": ["1", "2"]}],
        "capabilities": [{"name": key, "value": str(value)} for key, value in capabilities.items()],
        "restrictions": [],
    } | fields


class Cloud:
    """A cluster on the small Azure, and providers for it, as many as a test wants."""

    def __init__(self, arm: AzureArm, folder: Path, env: pytest.MonkeyPatch, stack: AsyncExitStack) -> None:
        self.arm = arm
        self.env = env
        self._folder = folder
        self._stack = stack

    async def provider(self, **settings: object) -> AzureProvider:
        """A new process's provider. `settings` are those of KAITOBUS_AZURE_."""
        for name, value in settings.items():
            self.env.setenv(f"KAITOBUS_AZURE_{name.upper()}", str(value))
        api_server = AzureArm()
        api_server.state = self.arm.state
        api_server.node_labels = self.arm.node_labels
        await api_server.start()
        self._stack.push_async_callback(api_server.close)
        self.env.setenv("SSL_CERT_FILE", os.devnull)  # to read the machine's authorities takes 60 ms a client
        kube = await KubeClient.connect(str(self._kubeconfig(api_server.url)))
        self._stack.push_async_callback(kube.close)
        self.nodes = Nodes(kube, "azure")
        provider = await make(Context(kube, self.nodes))
        self._stack.push_async_callback(provider.close)
        return provider

    def _kubeconfig(self, url: str) -> Path:
        path = self._folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "t",
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "clusters": [{"name": "t", "cluster": {"server": url}}],
            "users": [{"name": "t", "user": {"username": "nobody", "password": "nothing"}}],
        }
        path.write_text(json.dumps(config))
        return path


@asynccontextmanager
async def cloud_on(folder: Path, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    """A small Azure with TLS, and the environment of a process that has a service principal."""
    arm = AzureArm()
    ca, tls = certificate.make(folder)
    await arm.start(tls)
    for name, value in {
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
        "AZURE_TENANT_ID": "99999999-8888-7777-6666-555555555555",
        "AZURE_CLIENT_ID": "22222222-3333-4444-5555-666666666666",
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_AUTHORITY_HOST": arm.url,
        "KAITOBUS_AZURE_RESOURCE_GROUP": GROUP,
        "KAITOBUS_AZURE_CLUSTER": CLUSTER,
        "KAITOBUS_AZURE_REGION": REGION,
        "KAITOBUS_AZURE_ENDPOINT": arm.url,
        "KAITOBUS_AZURE_CA_FILE": str(ca),
        "KAITOBUS_AZURE_LIST_SECONDS": "0",
        "KAITOBUS_AZURE_POLL_SECONDS": "0",
    }.items():
        env.setenv(name, value)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(arm.close)
        yield Cloud(arm, folder, env, stack)


@pytest_asyncio.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    """Of a test's own."""
    async with cloud_on(tmp_path, monkeypatch) as found:
        yield found
